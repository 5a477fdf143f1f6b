"""(b) Dramatiq: one message for each item."""

from collections.abc import Callable

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from bench.peers.table import BROKER, upsert_one
from bench.rows import rows

dramatiq.set_broker(RedisBroker(url=BROKER))


@dramatiq.actor
def upsert(row: dict[str, object]) -> None:
    """Carry out one item."""
    upsert_one(row)


def prepare(first: int, count: int) -> Callable[[], list[float]]:
    """Return a function that sends a message for each row."""
    wanted = list(rows(first, count))

    def send() -> list[float]:
        for row in wanted:
            upsert.send(row)
        return []

    return send
