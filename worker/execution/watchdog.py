"""The watchdog of a worker: it looks at work, not at pings.

A worker can be connected, answer pings and take nothing. One that has its hands free while chunks of its queues are
rung for again and again, and nobody takes them, is such a worker: it ends, and its supervisor starts it anew.
"""

import select
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field

import psycopg
from psycopg.pq import ExecStatus

from worker.broker.celery_app import check_broker
from worker.database import connect
from worker.errors import BrokerUnavailableError
from worker.log import log_transient
from worker.settings import settings

# Since the pauses between rings double, the first of two was long enough ago to have been heard.
_IN_VAIN = 2
_PATIENCE = 2.0  # seconds
_RUNG = b"""
    SELECT id, rings FROM chunk
    WHERE due_at IS NOT NULL AND state = 'open' AND rings > 0 AND queue = ANY($1::text[]) ORDER BY due_at LIMIT 100
"""


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
        for database, url in settings().databases.items():
            try:
                found |= {(database, id_): rings for id_, rings in find_untaken(url.get_secret_value(), self.queues)}
            except (psycopg.Error, TimeoutError) as fault:
                log_transient("watchdog.database", fault, database=database)
        try:
            if found:
                check_broker()
        except BrokerUnavailableError:
            return {}
        return found


def find_untaken(url: str, queues: Sequence[str]) -> list[tuple[int, int]]:
    """Return up to a hundred chunks of ``queues`` that were rung for and not taken: id, and how often.

    Below the driver's own waiting, which knows no limit: who asks is the one process that all tasks of a worker come
    through, so a database that hangs must not hold it. (A thread would not do, since that process forks; nor a pool,
    since what is forked would inherit its connections.)

    Raises:
        psycopg.Error: the database is away.
        TimeoutError: it said nothing for two seconds.

    """
    with closing(connect(url)) as connection:
        asked = connection.pgconn
        asked.send_query_params(_RUNG, [f"{{{','.join(queues)}}}".encode()])
        end = time.monotonic() + _PATIENCE
        while asked.is_busy():
            if not select.select([asked.socket], [], [], max(0.0, end - time.monotonic()))[0]:
                raise TimeoutError("the database says nothing")
            asked.consume_input()
        answer = asked.get_result()
        if answer is None or answer.status != ExecStatus.TUPLES_OK:
            raise psycopg.OperationalError("the database did not answer the question")
        return [
            (int(answer.get_value(row, 0) or 0), int(answer.get_value(row, 1) or 0)) for row in range(answer.ntuples)
        ]
