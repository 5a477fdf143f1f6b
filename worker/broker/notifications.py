"""Hints over Redis that a batch has ended: who waits looks at the ledger then, instead of asking it all the time.

Nobody relies on hearing a hint: it may be lost, and other brokers than Redis have none. So nobody waits for one to be
sent, and whoever misses one looks by himself, a little later. What a hint says is true, though: it is said once that is
committed, and what has ended never changes. So that of a small batch says how its items ended, and nobody looks.
"""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from functools import cache
from uuid import UUID

import redis
import redis.asyncio
from pydantic import TypeAdapter
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from worker.errors import BrokerUnavailableError
from worker.log import log_transient
from worker.settings import settings
from worker.verdicts import Verdict

ItemVerdicts = Mapping[int, Verdict]
"""How items of a batch that has ended have ended, by position; those that are not named must be looked up."""
NO_VERDICTS: ItemVerdicts = {}
_notification = TypeAdapter(tuple[str, Mapping[UUID, ItemVerdicts]])

# One for all: the ids tell whose it is. Its name changes with what a hint looks like, so that versions which run side
# by side during a deployment don't hear what they can't read.
_CHANNEL = "limpet.ends"
_PATIENCE = 0.2  # seconds that a delivery may wait, and once more, for a broker that hangs
_MUTE = 10.0  # seconds without hints after that
_QUIET = 5.0  # seconds without a message after which the broker is asked whether it is there


class _Notifier:
    """The connection of a process for hints; after a fault it is silent for a while."""

    def __init__(self) -> None:
        self._redis: redis.Redis | None = None
        self._silent_until = 0.0
        self._last_fault = ""

    def say(self, message: bytes) -> None:
        if time.monotonic() < self._silent_until:
            return
        try:
            if self._redis is None:
                self._redis = redis.Redis.from_url(
                    _url(), socket_timeout=_PATIENCE, socket_connect_timeout=_PATIENCE, retry=Retry(NoBackoff(), 1)
                )
            self._redis.publish(_CHANNEL, message)
        except Exception as fault:  # noqa: BLE001  what is told has happened, whether or not anybody hears of it
            self._silent_until = time.monotonic() + _MUTE
            if repr(fault) != self._last_fault:
                log_transient("hints.silent", fault, seconds=_MUTE)
            self._last_fault = repr(fault)


_notifier = cache(_Notifier)
forget_connection = _notifier.cache_clear


def _url() -> str:
    return settings().broker_url.get_secret_value()


def are_available() -> bool:
    """Return whether the broker is one that passes on hints."""
    return _url().startswith(("redis://", "rediss://"))


def notify(database: str, ended: Mapping[UUID, ItemVerdicts]) -> None:
    """Tell whoever listens that batches of ``database`` have ended, and how; to be called once that is committed."""
    if are_available():
        _notifier().say(_notification.dump_json((database, ended)))


class Listener:
    """Hears hints; ``hears`` is whether it is connected, so that they are to be expected."""

    is_connected = False

    async def receive(self) -> AsyncGenerator[tuple[str, Mapping[UUID, ItemVerdicts]]]:
        """Yield each hint, a database and its batches that ended and how, until the connection is lost.

        Raises:
            BrokerUnavailableError: it is, or the broker says nothing any more.

        """
        try:
            broker = redis.asyncio.Redis.from_url(_url(), socket_timeout=_QUIET, socket_connect_timeout=_QUIET)
            async with broker as connection, connection.pubsub() as channel:
                await channel.subscribe(_CHANNEL)
                self.is_connected = True
                async for said in _messages(channel):
                    yield _notification.validate_json(said)
        except (RedisError, OSError, TypeError, ValueError) as fault:  # also a URL or a message that it can't read
            raise BrokerUnavailableError(f"{type(fault).__name__}: {fault}") from fault
        finally:
            self.is_connected = False


async def _messages(channel: "redis.asyncio.client.PubSub") -> AsyncIterator[bytes]:
    asked = False
    while True:
        message = await channel.get_message(timeout=_QUIET)
        if message is None and asked:
            raise BrokerUnavailableError("it does not answer")
        asked = message is None
        if message is None:
            await channel.ping()
        elif message["type"] == "message":
            yield message["data"]
