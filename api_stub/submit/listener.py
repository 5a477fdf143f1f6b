"""Receive the workers' notifications, as long as the process lives."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from api_stub.submit.submit import ApplicationState
from worker.broker.notifications import Listener, are_available
from worker.errors import BrokerUnavailableError
from worker.log import log_bug, log_transient

_RECONNECT_SECONDS = 2.0  # seconds after the connection was lost


@contextlib.asynccontextmanager
async def running_listener(listener: Listener, state: ApplicationState) -> AsyncIterator[None]:
    """Pass notifications on to waiters and publisher while the block runs."""
    if not are_available():
        yield
        return
    task = asyncio.create_task(_pass_on(listener, state))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _pass_on(listener: Listener, state: ApplicationState) -> None:
    last_error = ""
    while True:
        try:
            async with contextlib.aclosing(listener.receive()) as notifications:
                async for database, ended in notifications:
                    state.waiters.ended(database, ended)
                    state.publisher.ended(database, ended)
                    last_error = ""
        except BrokerUnavailableError as error:
            if repr(error) != last_error:  # a broker that stays away is logged once
                log_transient("hints.lost", error)
            last_error = repr(error)
        except Exception as error:  # noqa: BLE001  a bug must not leave this process to polling for good
            if repr(error) != last_error:
                log_bug("hints.failed", error)
            last_error = repr(error)
        await asyncio.sleep(_RECONNECT_SECONDS)
