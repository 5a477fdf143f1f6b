"""Hear the hints of the workers, as long as the process lives."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from api_stub.submit.submit import ApplicationState
from worker.broker.notifications import Listener, are_available
from worker.errors import BrokerUnavailableError
from worker.log import log_bug, log_transient

_PAUSE = 2.0  # seconds after the connection was lost


@contextlib.asynccontextmanager
async def running_listener(listener: Listener, state: ApplicationState) -> AsyncIterator[None]:
    """Pass on what ``listener`` hears while the block runs."""
    if not are_available():
        yield
        return
    task = asyncio.create_task(_hear(listener, state))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _hear(listener: Listener, state: ApplicationState) -> None:
    last = ""
    while True:
        try:
            async with contextlib.aclosing(listener.receive()) as hints:
                async for database, ended in hints:
                    state.waiters.ended(database, ended)
                    state.publisher.ended(database, ended)
                    last = ""
        except BrokerUnavailableError as fault:
            if repr(fault) != last:  # one that stays away need not be told of all the time
                log_transient("hints.lost", fault)
            last = repr(fault)
        except Exception as fault:  # noqa: BLE001  a bug must not make this process ask the ledger instead for good
            if repr(fault) != last:
                log_bug("hints.failed", fault)
            last = repr(fault)
        await asyncio.sleep(_PAUSE)
