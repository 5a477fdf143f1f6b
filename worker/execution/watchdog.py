"""The watchdog of a worker: it watches work, not pings.

A worker can be connected, answer pings and take no task. An idle worker is stalled if the relay publishes chunks of its
queues again and again and no worker takes them. It ends then, and its supervisor starts it anew.
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

# Since the pauses between publishes double, a message of the first of two would have arrived by now.
_MAX_MISSED_PUBLISHES = 2
_QUERY_TIMEOUT_SECONDS = 2.0
_FIND_PUBLISHED = b"""
    SELECT id, rings FROM chunk
    WHERE due_at IS NOT NULL AND state = 'open' AND rings > 0 AND queue = ANY($1::text[]) ORDER BY due_at LIMIT 100
"""


@dataclass(slots=True)
class Watchdog:
    """What one worker remembers: how many tasks it had taken, and how often each chunk had been published by then."""

    queues: list[str]
    _task_count: int = -1
    _first: dict[tuple[str, int], int] = field(default_factory=dict)

    def is_stalled(self, task_count: int, *, busy: bool) -> bool:
        """Return whether this worker misses its messages. Call it every few seconds with the tasks taken so far."""
        published = {} if busy or task_count != self._task_count else self._count_publishes()
        self._task_count = task_count
        self._first = {chunk: self._first.get(chunk, count) for chunk, count in published.items()}
        return any(count >= self._first[chunk] + _MAX_MISSED_PUBLISHES for chunk, count in published.items())

    def _count_publishes(self) -> dict[tuple[str, int], int]:
        """Return how often each waiting chunk was published; none of a database that is away, none without a broker."""
        found: dict[tuple[str, int], int] = {}
        for database, url in settings().databases.items():
            try:
                found |= {(database, id_): count for id_, count in find_untaken(url.get_secret_value(), self.queues)}
            except (psycopg.Error, TimeoutError) as fault:
                log_transient("watchdog.database", fault, database=database)
        try:
            if found:
                check_broker()
        except BrokerUnavailableError:
            return {}
        return found


def find_untaken(url: str, queues: Sequence[str]) -> list[tuple[int, int]]:
    """Return up to a hundred chunks of ``queues`` that were published and not taken: id, and how often.

    The driver waits without a limit, so this waits by itself: all tasks of a worker come through the calling process,
    and a database that hangs must not hold it. (A thread is no way, since that process forks; nor is a pool, since the
    forked processes would inherit its connections.)

    Raises:
        psycopg.Error: the database is away.
        TimeoutError: it did not answer within two seconds.

    """
    with closing(connect(url)) as connection:
        driver = connection.pgconn
        driver.send_query_params(_FIND_PUBLISHED, [f"{{{','.join(queues)}}}".encode()])
        deadline = time.monotonic() + _QUERY_TIMEOUT_SECONDS
        while driver.is_busy():
            if not select.select([driver.socket], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise TimeoutError("the database does not answer")
            driver.consume_input()
        answer = driver.get_result()
        if answer is None or answer.status != ExecStatus.TUPLES_OK:
            raise psycopg.OperationalError("the database did not answer the question")
        return [
            (int(answer.get_value(row, 0) or 0), int(answer.get_value(row, 1) or 0)) for row in range(answer.ntuples)
        ]
