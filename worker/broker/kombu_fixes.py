"""Celery's Redis transport, with two faults of kombu 5.7.0 mended, in place of the stock one for ``redis://``.

*A worker that hangs for good*: when an acknowledgement fails with the
connection, its prefetch slot is never given back; once all have leaked, the
worker asks for nothing more, and still answers pings. Here the slot is released
whatever happens. *A worker that exits*: a late acknowledgement on a closed
connection builds a pool from nothing and raises AttributeError, which no caller
expects. Here it is the connection error that it is.
"""

from typing import Any

from kombu.transport import TRANSPORT_ALIASES, redis, virtual
from redis.exceptions import ConnectionError as RedisConnectionError


class QoS(redis.QoS):
    """Acknowledgements that never leak a prefetch slot."""

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge; the slot is free again even if the broker is away."""
        try:
            self._remove_from_indices(delivery_tag).execute()  # type: ignore[attr-defined]  # not in the stubs
        finally:
            virtual.QoS.ack(self, delivery_tag)


class Channel(redis.Channel):
    """A channel that says so when its connection is gone."""

    QoS = QoS

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002  kombu's signature
        if self.connection is None or self.connection.client is None:
            raise RedisConnectionError("the broker connection is closed")
        params: dict[str, Any] = super()._connparams(asynchronous)  # type: ignore[misc]  # not in the stubs
        return params


class Transport(redis.Transport):
    """The Redis transport with that channel."""

    Channel = Channel


def apply_fixes() -> None:
    """Let ``redis://`` mean the transport of this module, in this process."""
    TRANSPORT_ALIASES["redis"] = f"{__name__}:Transport"
