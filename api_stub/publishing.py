"""Publish after the commit, in the background: no request waits for the broker, what it can't take is the relay's."""

import contextlib
import queue
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from worker.broker import ring
from worker.errors import BrokerUnavailableError
from worker.ledger.accept import Ring
from worker.log import bug, trouble

_Work = tuple[str, Sequence[Ring]] | None


@dataclass(slots=True)
class Publisher:
    """One thread and a bounded queue of rings that are still to be sent."""

    _queue: "queue.Queue[_Work]" = field(default_factory=lambda: queue.Queue(maxsize=10_000))

    def ring(self, database: str, rings: Sequence[Ring]) -> None:
        """Send soon; when the queue is full, the relay rings a few seconds later instead."""
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait((database, rings))

    def run(self) -> None:
        """Send what comes, until told to stop."""
        while (work := self._queue.get()) is not None:
            try:
                ring(*work)
            except BrokerUnavailableError as fault:
                trouble("publisher.left_to_relay", fault, database=work[0], chunks=len(work[1]))
            except Exception as fault:  # noqa: BLE001  the thread must outlive any bug, or every batch waits for the relay
                bug("publisher.failed", fault, database=work[0], chunks=len(work[1]))

    def stop(self) -> None:
        """End `run` after what is queued; a queue that is full is left to the relay."""
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait(None)


@contextlib.contextmanager
def publishing() -> Iterator[Publisher]:
    """Yield the publisher of this process, its thread running."""
    publisher = Publisher()
    thread = threading.Thread(target=publisher.run, name="publisher", daemon=True)
    thread.start()
    try:
        yield publisher
    finally:
        publisher.stop()
        thread.join(timeout=5)
