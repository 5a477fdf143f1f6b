"""The watchdog of a worker: it looks at work, not at pings.

A worker can be connected, answer pings and take nothing. One that has its hands free while chunks of its queues are
rung for again and again, and nobody takes them, is such a worker: it ends, and its supervisor starts it anew.
"""

from contextlib import suppress
from dataclasses import dataclass, field

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from worker import broker
from worker.database import engine, transaction
from worker.errors import BrokerUnavailableError
from worker.settings import settings

# Since the pauses between rings double, the first of two was long enough ago to have been heard.
_IN_VAIN = 2
_RUNG = text("""
    SELECT id, rings FROM chunk
    WHERE due_at IS NOT NULL AND state = 'open' AND rings > 0 AND queue = ANY(:queues) ORDER BY due_at LIMIT 100
""")


@dataclass(slots=True)
class Watchdog:
    """What one worker remembers: how many tasks it had taken, and how often each chunk had been rung for by then."""

    queues: list[str]
    _taken: int = -1
    _first: dict[tuple[str, int], int] = field(default_factory=dict)

    def is_stalled(self, taken: int, *, busy: bool) -> bool:
        """Return whether this worker hears no ring; to be asked every few seconds, with the tasks it took so far."""
        rung = {} if busy or taken != self._taken else self._rung()
        self._taken = taken
        self._first = {chunk: self._first.get(chunk, rings) for chunk, rings in rung.items()}
        return any(rings >= self._first[chunk] + _IN_VAIN for chunk, rings in rung.items())

    def _rung(self) -> dict[tuple[str, int], int]:
        """Return how often each waiting chunk was rung for; nothing of a server that is away, for then nobody hears."""
        found: dict[tuple[str, int], int] = {}
        try:
            for database in settings().databases:
                with suppress(DBAPIError), transaction(database) as session:
                    rows = session.execute(_RUNG, {"queues": self.queues}).all()
                    found |= {(database, row.id): row.rings for row in rows}
            if found:
                broker.check()
        except BrokerUnavailableError:
            return {}
        finally:
            # The processes that are forked from this one later must not inherit a connection.
            for database in settings().databases:
                engine(database).dispose()
        return found
