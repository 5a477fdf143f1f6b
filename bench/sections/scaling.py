"""Row 9: one, two and four worker processes on one stack; the others consume nothing."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

from celery import Celery

from bench.bursts import burst
from bench.keys import fresh
from bench.report.lines import Line
from bench.rows import bodies
from bench.servers import Servers
from bench.sizes import Sizes
from worker.ledger.model import DEFAULT_QUEUE

_CLIENTS = 4
_BATCH_ITEMS = 1000
_HOST = socket.gethostname()
_FIRST_NODE, _SECOND_NODE = f"worker1@{_HOST}", f"worker2@{_HOST}"
_SETTLE_SECONDS = 2.0  # until a worker has obeyed a control command


def measure(servers: Servers, sizes: Sizes) -> list[Line]:
    """Measure one, two and four processes in turns."""
    rates: dict[int, list[float]] = {1: [], 2: [], 4: []}
    app = Celery(broker=servers.variables["LIMPET_BROKER_URL"])
    for _ in range(sizes.rounds):
        for processes, values in rates.items():
            with _limit_processes(app, processes):
                values.append(_measure_rate(servers, sizes.large_batches))
    return [
        Line(9, f"{many} worker processes: {few}", "items/s", rates[many], rates[few])
        for few, many in ((1, 2), (1, 4), (2, 4))
    ]


@contextmanager
def _limit_processes(app: Celery, processes: int) -> Iterator[None]:
    """Let ``processes`` of the four (two of each worker) consume while the block runs."""
    with ExitStack() as undo:
        if processes < 4:
            app.control.cancel_consumer(DEFAULT_QUEUE, destination=[_SECOND_NODE])
            undo.callback(app.control.add_consumer, DEFAULT_QUEUE, destination=[_SECOND_NODE])
        if processes < 2:
            app.control.pool_shrink(1, destination=[_FIRST_NODE])
            undo.callback(app.control.pool_grow, 1, destination=[_FIRST_NODE])
        time.sleep(_SETTLE_SECONDS)
        yield


def _measure_rate(servers: Servers, batches: int) -> float:
    sent = bodies(fresh(_BATCH_ITEMS * batches), batches, _BATCH_ITEMS)
    with ExitStack() as stack:
        callers = [stack.enter_context(closing(servers.caller())) for _ in range(_CLIENTS)]
        return _BATCH_ITEMS * batches / burst(callers, sent)
