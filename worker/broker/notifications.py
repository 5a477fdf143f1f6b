"""Notifications over Redis that batches have ended, for the requests that wait for them.

Lost notifications are covered by polling the ledger, and brokers other than Redis have none; a delivery does not wait
for a notification to be sent. A notification is sent after the commit, so what it says never changes. For a small batch
it has the verdicts of the items, and no request reads the ledger.
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
"""The verdicts of a finished batch by position; a verdict that is missing is read from the ledger."""
NO_VERDICTS: ItemVerdicts = {}
_notification = TypeAdapter(tuple[str, Mapping[UUID, ItemVerdicts]])

# One channel for all databases. Its name changes with the form of a notification, so that two versions side by side
# during a deployment do not receive what they can't read.
_CHANNEL = "limpet.ends"
_SEND_TIMEOUT_SECONDS = 0.2  # seconds a delivery waits for a hanging broker, twice at most
_SILENCE_SECONDS = 10.0  # seconds without notifications after that
_READ_TIMEOUT_SECONDS = 5.0  # seconds without a message after which the broker is asked whether it is there


class _Notifier:
    """The process's connection for sending; after a fault it sends nothing for a while."""

    def __init__(self) -> None:
        self._redis: redis.Redis | None = None
        self._silent_until = 0.0
        self._last_fault = ""

    def send(self, message: bytes) -> None:
        if time.monotonic() < self._silent_until:
            return
        try:
            if self._redis is None:
                self._redis = redis.Redis.from_url(
                    _url(),
                    socket_timeout=_SEND_TIMEOUT_SECONDS,
                    socket_connect_timeout=_SEND_TIMEOUT_SECONDS,
                    retry=Retry(NoBackoff(), 1),
                )
            self._redis.publish(_CHANNEL, message)
        except Exception as fault:  # noqa: BLE001  the batch has ended all the same; polling finds it
            self._silent_until = time.monotonic() + _SILENCE_SECONDS
            if repr(fault) != self._last_fault:
                log_transient("hints.silent", fault, seconds=_SILENCE_SECONDS)
            self._last_fault = repr(fault)


_notifier = cache(_Notifier)
forget_connection = _notifier.cache_clear


def _url() -> str:
    return settings().broker_url.get_secret_value()


def are_available() -> bool:
    """Return whether the broker passes notifications on: only Redis does."""
    return _url().startswith(("redis://", "rediss://"))


def notify(database: str, ended: Mapping[UUID, ItemVerdicts]) -> None:
    """Send a notification that batches of ``database`` have ended, with their verdicts; call it after the commit."""
    if are_available():
        _notifier().send(_notification.dump_json((database, ended)))


class Listener:
    """Receives notifications; while ``is_connected``, they may be expected."""

    is_connected = False

    async def receive(self) -> AsyncGenerator[tuple[str, Mapping[UUID, ItemVerdicts]]]:
        """Yield each notification: a database, and its finished batches with their verdicts.

        Raises:
            BrokerUnavailableError: the connection is lost, or the broker does not answer.

        """
        try:
            broker = redis.asyncio.Redis.from_url(
                _url(), socket_timeout=_READ_TIMEOUT_SECONDS, socket_connect_timeout=_READ_TIMEOUT_SECONDS
            )
            async with broker as connection, connection.pubsub() as channel:
                await channel.subscribe(_CHANNEL)
                self.is_connected = True
                async for message in _messages(channel):
                    yield _notification.validate_json(message)
        except (RedisError, OSError, TypeError, ValueError) as fault:  # also a URL or a message that can't be read
            raise BrokerUnavailableError(f"{type(fault).__name__}: {fault}") from fault
        finally:
            self.is_connected = False


async def _messages(channel: "redis.asyncio.client.PubSub") -> AsyncIterator[bytes]:
    asked = False
    while True:
        message = await channel.get_message(timeout=_READ_TIMEOUT_SECONDS)
        if message is None and asked:
            raise BrokerUnavailableError("it does not answer")
        asked = message is None
        if message is None:
            await channel.ping()
        elif message["type"] == "message":
            yield message["data"]
