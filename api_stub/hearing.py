"""Hear the hints of the workers, as long as the process lives."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from redis.exceptions import RedisError

from api_stub.batching import Rooms
from worker.hints import Listener
from worker.log import trouble

_PAUSE = 2.0  # seconds after the connection was lost


@contextlib.asynccontextmanager
async def hearing(listener: Listener, rooms: Rooms) -> AsyncIterator[None]:
    """Pass on what ``listener`` hears while the block runs."""
    task = asyncio.create_task(_hear(listener, rooms))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _hear(listener: Listener, rooms: Rooms) -> None:
    while True:
        try:
            async for database, batch_ids in listener.heard():
                rooms.waiting.ended(database, batch_ids)
                rooms.doorbell.ended(database, batch_ids)
        except (RedisError, OSError, ValueError) as fault:
            trouble("hints.lost", fault)
        await asyncio.sleep(_PAUSE)
