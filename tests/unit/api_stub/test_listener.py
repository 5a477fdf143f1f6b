"""The API listens for notifications as long as it lives."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from uuid import UUID

import pytest

from api_stub.submit import listener as hint_listener
from api_stub.submit.listener import running_listener
from api_stub.submit.publisher import Publisher, PublisherThread
from api_stub.submit.submit import ApplicationState
from api_stub.submit.waiters import Waiters
from worker.broker.notifications import ItemVerdicts, Listener


class Stumbling(Listener):
    """Meets a bug twice, hears a notification, meets the bug again, and hears nothing from then on."""

    def __init__(self) -> None:
        self.listened = 0
        self.listens_again = asyncio.Event()

    async def receive(self) -> AsyncGenerator[tuple[str, Mapping[UUID, ItemVerdicts]]]:
        self.listened += 1
        if self.listened == 3:
            yield "", {}
        if self.listened < 4:
            raise ZeroDivisionError
        self.listens_again.set()
        await asyncio.Event().wait()


def test_a_bug_is_logged_once_until_a_notification_comes_and_the_listener_goes_on(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hint_listener, "_RECONNECT_SECONDS", 0)

    async def hear() -> None:
        listener = Stumbling()
        rooms = ApplicationState(Waiters(listener), Publisher(PublisherThread(), listener))
        async with asyncio.timeout(20), running_listener(listener, rooms):
            await listener.listens_again.wait()

    with caplog.at_level(logging.ERROR, "limpet"):
        asyncio.run(hear())
    assert len(caplog.records) == 2
    for line in caplog.records:
        assert line.getMessage().startswith("hints.failed")
        assert line.exc_info
        assert line.exc_info[0] is ZeroDivisionError
