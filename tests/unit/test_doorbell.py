"""The doorbell: messages of small batches gather while enough are under way."""

import asyncio
import uuid

import pytest

from api_stub.submit.publisher import Doorbell, Publisher
from worker.broker.notifications import Listener
from worker.ledger.model import QUEUE, Ring
from worker.settings import settings


def small(number: int) -> Ring:
    return Ring(number, uuid.UUID(int=number), 0, 9, QUEUE)


def rung(publisher: Publisher) -> list[list[int]]:
    """The chunks of each message that a publisher, which does not run, has been given since."""
    messages = []
    while not publisher.rings.empty():
        _, rings, together = publisher.rings.get_nowait() or ("", [], False)
        assert together or len(rings) == 1
        messages.append([r.chunk_id for r in rings])
    return messages


@pytest.fixture
def bell() -> Doorbell:
    listener = Listener()
    listener.hears = True
    return Doorbell(Publisher(), listener)


def test_the_first_go_at_once_and_the_others_together_when_one_has_ended(bell: Doorbell) -> None:
    async def ring() -> None:
        under_way = settings().worker_processes // 2
        for number in range(under_way + 3):
            bell.ring("demo", [small(number)], small=True)
        assert rung(bell.publisher) == [[number] for number in range(under_way)]
        bell.ended("other", [uuid.UUID(int=0)])
        bell.ended("demo", [uuid.uuid4()])
        assert rung(bell.publisher) == []
        bell.ended("demo", [uuid.UUID(int=0)])
        assert rung(bell.publisher) == [[under_way, under_way + 1, under_way + 2]]

    asyncio.run(ring())


def test_nobody_waits_for_an_end_that_is_not_heard_of(bell: Doorbell) -> None:
    async def ring() -> None:
        for number in range(10):
            bell.ring("demo", [small(number)], small=True)
        rung(bell.publisher)
        work = await asyncio.to_thread(bell.publisher.rings.get, timeout=20)
        assert work is not None
        _, rings, together = work
        assert together
        assert len(rings) > 1

    asyncio.run(ring())


def test_without_hints_none_gather(bell: Doorbell) -> None:
    async def ring() -> None:
        bell.listener.hears = False
        for number in range(10):
            bell.ring("demo", [small(number)], small=True)
        assert rung(bell.publisher) == [[number] for number in range(10)]

    asyncio.run(ring())


def test_large_ones_and_other_databases_do_not_wait(bell: Doorbell) -> None:
    async def ring() -> None:
        for number in range(10):
            bell.ring("demo", [small(number)], small=True)
        rung(bell.publisher)
        bell.ring("other", [small(10)], small=True)
        assert rung(bell.publisher) == [[10]]
        bell.ring("demo", [Ring(11, uuid.uuid4(), 0, 499, QUEUE)])
        assert bell.publisher.rings.get_nowait() is not None

    asyncio.run(ring())


def test_what_waits_at_the_end_is_rung_for(bell: Doorbell) -> None:
    async def ring() -> None:
        for number in range(10):
            bell.ring("demo", [small(number)], small=True)
        before = rung(bell.publisher)
        bell.stop()
        _, rings, _ = bell.publisher.rings.get_nowait() or ("", [], False)
        assert sorted([*(n for some in before for n in some), *(r.chunk_id for r in rings)]) == list(range(10))

    asyncio.run(ring())
