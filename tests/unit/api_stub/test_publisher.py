"""The publisher: messages of small batches gather while enough are under way."""

import asyncio
import uuid

import pytest

from api_stub.submit.publisher import Publisher, PublisherThread
from worker.broker.notifications import Listener
from worker.ledger.model import DEFAULT_QUEUE, ChunkMessage
from worker.settings import settings


def small(number: int) -> ChunkMessage:
    return ChunkMessage(number, uuid.UUID(int=number), 0, 9, DEFAULT_QUEUE)


def taken_from(thread: PublisherThread) -> list[list[int]]:
    """The chunks of each message that a publisher, which does not run, has been given since."""
    messages = []
    while not thread.queued.empty():
        _, chunks, together = thread.queued.get_nowait() or ("", [], False)
        assert together or len(chunks) == 1
        messages.append([r.chunk_id for r in chunks])
    return messages


@pytest.fixture
def publisher() -> Publisher:
    listener = Listener()
    listener.is_connected = True
    return Publisher(PublisherThread(), listener)


def test_the_first_go_at_once_and_the_others_together_when_one_has_ended(publisher: Publisher) -> None:
    async def publish() -> None:
        under_way = settings().worker_processes // 2
        for number in range(under_way + 3):
            publisher.publish("demo", [small(number)], small=True)
        assert taken_from(publisher.thread) == [[number] for number in range(under_way)]
        publisher.ended("other", [uuid.UUID(int=0)])
        publisher.ended("demo", [uuid.uuid4()])
        assert taken_from(publisher.thread) == []
        publisher.ended("demo", [uuid.UUID(int=0)])
        assert taken_from(publisher.thread) == [[under_way, under_way + 1, under_way + 2]]

    asyncio.run(publish())


def test_no_message_waits_for_a_lost_notification(publisher: Publisher) -> None:
    async def publish() -> None:
        for number in range(10):
            publisher.publish("demo", [small(number)], small=True)
        taken_from(publisher.thread)
        work = await asyncio.to_thread(publisher.thread.queued.get, timeout=20)
        assert work is not None
        _, chunks, together = work
        assert together
        assert len(chunks) > 1

    asyncio.run(publish())


def test_without_notifications_no_messages_gather(publisher: Publisher) -> None:
    async def publish() -> None:
        publisher.listener.is_connected = False
        for number in range(10):
            publisher.publish("demo", [small(number)], small=True)
        assert taken_from(publisher.thread) == [[number] for number in range(10)]

    asyncio.run(publish())


def test_large_ones_and_other_databases_do_not_wait(publisher: Publisher) -> None:
    async def publish() -> None:
        for number in range(10):
            publisher.publish("demo", [small(number)], small=True)
        taken_from(publisher.thread)
        publisher.publish("other", [small(10)], small=True)
        assert taken_from(publisher.thread) == [[10]]
        publisher.publish("demo", [ChunkMessage(11, uuid.uuid4(), 0, 499, DEFAULT_QUEUE)])
        assert publisher.thread.queued.get_nowait() is not None

    asyncio.run(publish())


def test_what_waits_at_shutdown_is_published(publisher: Publisher) -> None:
    async def publish() -> None:
        for number in range(10):
            publisher.publish("demo", [small(number)], small=True)
        before = taken_from(publisher.thread)
        publisher.stop()
        _, chunks, _ = publisher.thread.queued.get_nowait() or ("", [], False)
        assert sorted([*(n for some in before for n in some), *(r.chunk_id for r in chunks)]) == list(range(10))

    asyncio.run(publish())


def test_publishing_outside_the_event_loop_is_refused(publisher: Publisher) -> None:
    with pytest.raises(RuntimeError):
        publisher.publish("demo", [small(1)])
    assert taken_from(publisher.thread) == []
