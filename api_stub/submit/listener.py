"""Hear the hints of the workers, as long as the process lives."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from api_stub.submit.submit import Rooms
from worker.broker.notifications import Listener, are_to_be_had
from worker.errors import BrokerUnavailableError
from worker.log import bug, trouble

_PAUSE = 2.0  # seconds after the connection was lost


@contextlib.asynccontextmanager
async def hearing(listener: Listener, rooms: Rooms) -> AsyncIterator[None]:
    """Pass on what ``listener`` hears while the block runs."""
    if not are_to_be_had():
        yield
        return
    task = asyncio.create_task(_hear(listener, rooms))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _hear(listener: Listener, rooms: Rooms) -> None:
    last = ""
    while True:
        try:
            async with contextlib.aclosing(listener.heard()) as hints:
                async for database, ended in hints:
                    rooms.waiting.ended(database, ended)
                    rooms.doorbell.ended(database, ended)
                    last = ""
        except BrokerUnavailableError as fault:
            if repr(fault) != last:  # one that stays away need not be told of all the time
                trouble("hints.lost", fault)
            last = repr(fault)
        except Exception as fault:  # noqa: BLE001  a bug must not make this process ask the ledger instead for good
            if repr(fault) != last:
                bug("hints.failed", fault)
            last = repr(fault)
        await asyncio.sleep(_PAUSE)
