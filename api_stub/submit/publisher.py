"""Publish after the commit, in the background: no request waits for the broker, what it can't take is the relay's.

A message costs its worker, Celery and Flower several times what a small batch does. So while enough messages are under
way, those of small batches gather, and one message names all of them: the busier, the fewer.
"""

import asyncio
import contextlib
import queue
import threading
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from worker.broker.notifications import Listener
from worker.broker.publish import ring
from worker.errors import BrokerUnavailableError
from worker.ledger.model import Ring
from worker.log import bug, trouble
from worker.settings import settings

_Work = tuple[str, Sequence[Ring], bool] | None
_MOST_TOGETHER = 32  # small batches in one message
_LONGEST = 0.1  # seconds that a message under way keeps others from being sent


@dataclass(slots=True)
class Publisher:
    """One thread and a bounded queue of rings that are still to be sent."""

    rings: "queue.Queue[_Work]" = field(default_factory=lambda: queue.Queue(maxsize=10_000))

    def ring(self, database: str, rings: Sequence[Ring], *, together: bool = False) -> None:
        """Send soon, one message for each or one for all; when the queue is full, the relay rings a bit later."""
        with contextlib.suppress(queue.Full):
            self.rings.put_nowait((database, rings, together))

    def run(self) -> None:
        """Send what comes, until told to stop."""
        while (work := self.rings.get()) is not None:
            try:
                ring(work[0], work[1], together=work[2])
            except BrokerUnavailableError as fault:
                trouble("publisher.left_to_relay", fault, database=work[0], chunks=len(work[1]))
            except Exception as fault:  # noqa: BLE001  the thread must outlive any bug, or every batch waits for the relay
                bug("publisher.failed", fault, database=work[0], chunks=len(work[1]))

    def stop(self) -> None:
        """End `run` after what is queued; a queue that is full is left to the relay."""
        with contextlib.suppress(queue.Full):
            self.rings.put_nowait(None)


@dataclass(slots=True)
class _Line:
    """The small batches of one database: messages under way (until when, with which batches), and who waits."""

    under_way: list[tuple[float, frozenset[UUID]]] = field(default_factory=list)
    waiting: list[Ring] = field(default_factory=list)
    timer: asyncio.TimerHandle | None = None

    def stop_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
        self.timer = None


@dataclass(slots=True)
class Doorbell:
    """Rings for what was accepted; to be used by one event loop."""

    publisher: Publisher
    listener: Listener
    _lines: dict[str, _Line] = field(default_factory=lambda: defaultdict(_Line))

    def ring(self, database: str, rings: Sequence[Ring], *, small: bool = False) -> None:
        """Ring for chunks; for a ``small`` one, all of its batch, perhaps a moment later and with others."""
        # Without hints nobody knows when what is under way has ended.
        if not small or not self.listener.hears or _together() == 1:
            self.publisher.ring(database, rings)
            return
        self._lines[database].waiting.extend(rings)
        self._go_on(database)

    def ended(self, database: str, batch_ids: Collection[UUID]) -> None:
        """Go on with what waits, now that batches of ``database`` have ended."""
        if database in self._lines:
            line = self._lines[database]
            line.under_way = [sent for sent in line.under_way if sent[1].isdisjoint(batch_ids)]
            self._go_on(database)

    def stop(self) -> None:
        """Let nothing wait any more."""
        for database in self._lines:
            self._send_all(database)

    def _go_on(self, database: str) -> None:
        line, now = self._lines[database], asyncio.get_running_loop().time()
        line.under_way = [sent for sent in line.under_way if sent[0] > now]
        # Half of the hands: each of them takes several at a time.
        while line.waiting and len(line.under_way) < max(1, settings().worker_processes // 2):
            sent = frozenset(r.batch_id for r in self._send(database))
            line.under_way.append((now + _LONGEST, sent))
        line.stop_timer()
        if line.waiting:
            # Whoever waits came after the oldest that is under way was sent, so he waits no longer than that.
            loop, until = asyncio.get_running_loop(), line.under_way[0][0]
            line.timer = loop.call_at(until, self._send_all, database)

    def _send_all(self, database: str) -> None:
        line = self._lines[database]
        while line.waiting:
            self._send(database)
        line.stop_timer()

    def _send(self, database: str) -> list[Ring]:
        """Send one message for as many as it may name."""
        line, most = self._lines[database], _together()
        rings, line.waiting = line.waiting[:most], line.waiting[most:]
        self.publisher.ring(database, rings, together=True)
        return rings


def _together() -> int:
    """Return how many small batches one message names: never more items than a chunk may have."""
    limits = settings()
    return max(1, min(_MOST_TOGETHER, limits.chunk_items // limits.small_batch)) if limits.small_batch else 1


@contextlib.contextmanager
def publishing(listener: Listener) -> Iterator[Doorbell]:
    """Yield the doorbell of this process, its thread running."""
    publisher = Publisher()
    doorbell = Doorbell(publisher, listener)
    thread = threading.Thread(target=publisher.run, name="publisher", daemon=True)
    thread.start()
    try:
        yield doorbell
    finally:
        doorbell.stop()
        publisher.stop()
        thread.join(timeout=5)
