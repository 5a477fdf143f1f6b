"""Row 9: one, two and four worker processes, on the same stack: the others are told to take nothing."""

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
_SIZE = 1000
_HOST = socket.gethostname()
_FIRST, _SECOND = f"worker1@{_HOST}", f"worker2@{_HOST}"
_SETTLE = 2.0  # seconds until a worker has done what it was told


def measure(servers: Servers, sizes: Sizes) -> list[Line]:
    """Let one, two and four processes take turns."""
    rates: dict[int, list[float]] = {1: [], 2: [], 4: []}
    app = Celery(broker=servers.variables["LIMPET_BROKER_URL"])
    for _ in range(sizes.rounds):
        for processes, values in rates.items():
            with _serving(app, processes):
                values.append(_rate(servers, sizes.large_batches))
    return [
        Line(9, f"{many} worker processes: {few}", "items/s", rates[many], rates[few])
        for few, many in ((1, 2), (1, 4), (2, 4))
    ]


@contextmanager
def _serving(app: Celery, processes: int) -> Iterator[None]:
    """Let so many of the four processes (two of each worker) serve while the block runs."""
    with ExitStack() as undo:
        if processes < 4:
            app.control.cancel_consumer(DEFAULT_QUEUE, destination=[_SECOND])
            undo.callback(app.control.add_consumer, DEFAULT_QUEUE, destination=[_SECOND])
        if processes < 2:
            app.control.pool_shrink(1, destination=[_FIRST])
            undo.callback(app.control.pool_grow, 1, destination=[_FIRST])
        time.sleep(_SETTLE)
        yield


def _rate(servers: Servers, batches: int) -> float:
    sent = bodies(fresh(_SIZE * batches), batches, _SIZE)
    with ExitStack() as stack:
        callers = [stack.enter_context(closing(servers.caller())) for _ in range(_CLIENTS)]
        return _SIZE * batches / burst(callers, sent)
