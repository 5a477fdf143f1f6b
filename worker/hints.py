"""Hints over Redis that a batch has ended: who waits looks at the ledger then, instead of asking it all the time.

A hint is nothing to rely on: it may be lost, and other brokers than Redis have none. So nobody waits for one to be
sent, and whoever misses one looks by himself, a little later.
"""

import json
import time
from collections.abc import AsyncIterator, Sequence
from functools import cache
from typing import Any
from uuid import UUID

import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from worker.log import trouble
from worker.settings import settings

_CHANNEL = "limpet.ended"  # one for all: the ids tell whose it is
_PATIENCE = 0.2  # seconds that a delivery may wait for a broker that hangs
_MUTE = 10.0  # seconds without hints after that


class _Speaker:
    """The connection of a process for hints; after a fault it is silent for a while."""

    def __init__(self) -> None:
        self._redis = redis.Redis.from_url(
            settings().broker_url.get_secret_value(),
            socket_timeout=_PATIENCE,
            socket_connect_timeout=_PATIENCE,
            retry=Retry(NoBackoff(), 1),
        )
        self._silent_until = 0.0

    def say(self, message: str) -> None:
        if time.monotonic() < self._silent_until:
            return
        try:
            self._redis.publish(_CHANNEL, message)
        except RedisError as fault:
            self._silent_until = time.monotonic() + _MUTE
            trouble("hints.silent", fault, seconds=_MUTE)


_speaker = cache(_Speaker)
forget_connection = _speaker.cache_clear


def _is_redis() -> bool:
    return settings().broker_url.get_secret_value().startswith(("redis://", "rediss://"))


def hint(database: str, batch_ids: Sequence[UUID]) -> None:
    """Tell whoever listens that batches of ``database`` have ended; to be called once that is committed."""
    if _is_redis():
        _speaker().say(json.dumps([database, *map(str, batch_ids)]))


class Listener:
    """Hears hints; ``hears`` is whether it is connected, so that they are to be expected."""

    hears = False

    async def heard(self) -> AsyncIterator[tuple[str, list[UUID]]]:
        """Yield each hint, a database and its batches that ended, until the connection is lost.

        Raises:
            RedisError: it is.

        """
        if not _is_redis():
            return
        url = settings().broker_url.get_secret_value()
        options: dict[str, Any] = {"socket_connect_timeout": 1, "socket_timeout": None, "health_check_interval": 10}
        async with redis.asyncio.Redis.from_url(url, **options) as connection, connection.pubsub() as channel:
            try:
                await channel.subscribe(_CHANNEL)
                self.hears = True
                async for message in channel.listen():
                    if message["type"] == "message":
                        database, *ids = json.loads(message["data"])
                        yield database, [UUID(id_) for id_ in ids]
            finally:
                self.hears = False
