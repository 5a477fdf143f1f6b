"""(a) Celery: one task for each item, a SQLAlchemy session for each task."""

import time
from collections.abc import Callable

from celery import Celery

from bench.peers.table import BROKER, RESULTS, carry_out_recorded, upsert_one
from bench.rows import rows

app = Celery("peer", broker=BROKER, backend=RESULTS)


@app.task
def upsert(row: dict[str, object]) -> str:
    """Carry out one item; return its outcome."""
    upsert_one(row)
    return "ok"


@app.task
def carry_out(recorded: str) -> str:
    """Carry out one recorded item, and record its outcome."""
    carry_out_recorded(recorded)
    return "ok"


def prepare(first: int, count: int, *, wait: bool = False) -> Callable[[], list[float]]:
    """Return a function that sends a task for each row; with ``wait``, it waits for each result."""
    wanted = list(rows(first, count))

    def send() -> list[float]:
        for row in wanted:
            upsert.apply_async((row,), ignore_result=True)
        return []

    def ask() -> list[float]:
        times = []
        for row in wanted:
            began = time.perf_counter()
            upsert.delay(row).get()
            times.append(time.perf_counter() - began)
        return times

    return ask if wait else send
