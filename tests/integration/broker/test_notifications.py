"""Hints: heard where there is Redis, waited for by nobody."""

import asyncio
import time
import uuid
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

import pytest
import redis
from support.connections import Line, line

from worker.broker import notifications
from worker.errors import BrokerUnavailableError
from worker.settings import settings
from worker.verdicts import CREATED, Verdict

_ENDED: dict[uuid.UUID, notifications.ItemVerdicts] = {
    uuid.uuid4(): {},
    uuid.uuid4(): {
        0: CREATED.on(7),
        3: Verdict("invalid", 422, "x: is wrong", "after-fix", None, ({"field": "x", "message": "is wrong"},)),
    },
}


@pytest.fixture
def held(stack: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    """A line to the broker that this process is told to use."""
    there = urlsplit(stack["LIMPET_BROKER_URL"])
    with line(there.port or 0) as passing:
        monkeypatch.setenv("LIMPET_BROKER_URL", there.geturl().replace(f":{there.port}", f":{passing.port}"))
        settings.cache_clear()
        notifications.forget_connection()
        yield passing
    monkeypatch.undo()
    settings.cache_clear()
    notifications.forget_connection()


@pytest.mark.usefixtures("held")
def test_a_notification_of_one_process_reaches_another() -> None:
    listener = notifications.Listener()

    async def hear() -> tuple[str, Mapping[uuid.UUID, notifications.ItemVerdicts]]:
        return await anext(listener.receive())

    async def first() -> tuple[str, Mapping[uuid.UUID, notifications.ItemVerdicts]]:
        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            heard = tasks.create_task(hear())
            while not heard.done():  # what was said before it listened is lost
                await asyncio.to_thread(notifications.notify, "demo", _ENDED)
                await asyncio.wait({heard}, timeout=0.1)
            return heard.result()

    assert asyncio.run(first()) == ("demo", _ENDED)


@pytest.mark.parametrize("said", [b"no JSON", b'["demo", []]', b'["demo", {"a batch": {}}]', b'{"demo": 1}'])
def test_what_a_listener_cannot_read_ends_this_connection_only(stack: dict[str, str], said: bytes) -> None:
    """Whoever listens connects anew; anything else would end it for good."""
    listener = notifications.Listener()

    async def hear() -> None:
        async for _ in listener.receive():
            raise AssertionError("that was none")

    async def heard() -> None:
        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            task = tasks.create_task(hear())
            with redis.Redis.from_url(stack["LIMPET_BROKER_URL"]) as broker:
                while not task.done():
                    await asyncio.to_thread(broker.publish, "limpet.ends", said)
                    await asyncio.wait({task}, timeout=0.1)

    with pytest.RaisesGroup(BrokerUnavailableError):
        asyncio.run(heard())


def test_a_broker_that_falls_silent_is_not_listened_to_for_ever(held: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifications, "_READ_TIMEOUT_SECONDS", 0.3)
    listener = notifications.Listener()

    async def hear() -> None:
        async for _ in listener.receive():
            held.hold()

    async def heard() -> None:
        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            task = tasks.create_task(hear())
            while not task.done():
                await asyncio.to_thread(notifications.notify, "demo", _ENDED)
                await asyncio.wait({task}, timeout=0.1)

    with pytest.RaisesGroup(BrokerUnavailableError):
        asyncio.run(heard())
    assert not listener.is_connected


@pytest.mark.parametrize("url", ["redis://127.0.0.1/0?ssl_cert_reqs=CERT_NONE", "redis://127.0.0.1/0?timeout=abc"])
def test_a_url_that_only_celery_understands_does_no_harm(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hear() -> None:
        await anext(notifications.Listener().receive())

    monkeypatch.setenv("LIMPET_BROKER_URL", url)
    settings.cache_clear()
    notifications.forget_connection()
    try:
        notifications.notify("demo", _ENDED)
        with pytest.raises(BrokerUnavailableError):
            asyncio.run(hear())
    finally:
        monkeypatch.undo()
        settings.cache_clear()
        notifications.forget_connection()


def test_a_broker_that_hangs_costs_one_delivery_a_moment_and_the_next_ones_nothing(held: Line) -> None:
    notifications.notify("demo", _ENDED)
    held.hold()
    began = time.monotonic()
    for _ in range(100):
        notifications.notify("demo", _ENDED)
    assert time.monotonic() - began < 5
