"""The relay: publishes every chunk that is due again. ``python -m worker.relay``; two may run.

It finds its work in the database, not in the broker. So it recovers from a lost message, an emptied broker, a worker
that died, and a worker that died before it finished the batch.
"""

import logging
import signal
import sys
import threading
import time

from sqlalchemy.exc import DBAPIError

from worker.broker.notifications import NO_VERDICTS
from worker.broker.publish import publish_chunks, publish_loaders
from worker.database import transaction
from worker.errors import BrokerUnavailableError
from worker.execution.finish import notify_ended
from worker.imports import transitions
from worker.ledger import claims, completion
from worker.log import log_event, log_transient
from worker.settings import settings

_PERIOD_SECONDS, _BUSY_PERIOD_SECONDS = 1.0, 0.05
_STOP_TIMEOUT_SECONDS = 5.0
_MAX_SWEEP_ROWS = 500


def sweep(database: str) -> int:
    """Publish the due chunks and loaders of ``database``, finish batches left unfinished; return how many chunks."""
    with transaction(database) as session:
        due = claims.take_due(session, settings().ring_after, _MAX_SWEEP_ROWS)
        loaders = transitions.take_due_loaders(session, settings().ring_after, _MAX_SWEEP_ROWS)
        ended = completion.finish_orphans(session, settings().ring_after)
    # Publish after the commit: a message that fails is due again. Notify first, since an end is notified only once.
    notify_ended(database, dict.fromkeys(ended, NO_VERDICTS), by="relay")
    publish_chunks(database, due)
    publish_loaders(database, loaders)
    if due:
        log_event("relay.rang", database=database, chunks=len(due))
    return len(due)


def _sweep_until_stopped(database: str, stop: threading.Event) -> None:
    """Sweep once a second until ``stop`` is set; an unexpected exception stops the relay."""
    try:
        while not stop.is_set():
            published = 0
            try:
                published = sweep(database)
            except (DBAPIError, BrokerUnavailableError) as fault:
                log_transient("relay.waits", fault, database=database)
            # A full sweep means that more is due.
            stop.wait(_BUSY_PERIOD_SECONDS if published >= _MAX_SWEEP_ROWS else _PERIOD_SECONDS)
    finally:
        stop.set()


def main() -> None:
    """Sweep every database until SIGTERM or SIGINT, each in a thread: one that hangs must not make others wait."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    stop, stop_requested = threading.Event(), threading.Event()

    def end(*_: object) -> None:
        stop_requested.set()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    names = list(settings().databases)
    log_event("relay.started", databases=",".join(names))
    # Daemon threads: one that hangs must not keep the process from ending.
    sweeps = [threading.Thread(target=_sweep_until_stopped, args=(n, stop), name=n, daemon=True) for n in names]
    for thread in sweeps:
        thread.start()
    stop.wait()
    deadline = time.monotonic() + _STOP_TIMEOUT_SECONDS
    for thread in sweeps:
        thread.join(max(0.0, deadline - time.monotonic()))
    log_event("relay.stopped")
    if not stop_requested.is_set():
        sys.exit("the relay ended by a bug; its supervisor starts it anew")


if __name__ == "__main__":
    main()
