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
from worker.broker.publish import publish_chunks
from worker.errors import BrokerUnavailableError
from worker.ledger.model import ChunkMessage
from worker.log import log_bug, log_transient
from worker.settings import settings

_Work = tuple[str, Sequence[ChunkMessage], bool] | None
_MAX_BATCHES_IN_MESSAGE = 32  # small batches in one message
_MAX_FLIGHT_SECONDS = 0.1  # after this a message in flight keeps others back no longer


@dataclass(slots=True)
class PublisherThread:
    """One thread and a bounded queue of messages that are still to be sent."""

    queued: "queue.Queue[_Work]" = field(default_factory=lambda: queue.Queue(maxsize=10_000))

    def put(self, database: str, chunks: Sequence[ChunkMessage], *, together: bool = False) -> None:
        """Send soon, one message a chunk or one for all; if the queue is full, the relay publishes a bit later."""
        with contextlib.suppress(queue.Full):
            self.queued.put_nowait((database, chunks, together))

    def run(self) -> None:
        """Send what is put in, until told to stop."""
        while (work := self.queued.get()) is not None:
            database, chunks, together = work
            try:
                publish_chunks(database, chunks, together=together)
            except BrokerUnavailableError as error:
                log_transient("publisher.left_to_relay", error, database=database, chunks=len(chunks))
            except Exception as error:  # noqa: BLE001  the thread must outlive a bug, or every batch waits for the relay
                log_bug("publisher.failed", error, database=database, chunks=len(chunks))

    def stop(self) -> None:
        """End `run` after what is queued; a queue that is full is left to the relay."""
        with contextlib.suppress(queue.Full):
            self.queued.put_nowait(None)


@dataclass(slots=True)
class _Backlog:
    """The small batches of one database.

    ``in_flight``: the messages that were sent, each with its deadline in the loop's seconds and its batches.
    ``waiting``: the chunks that no message names yet.
    """

    in_flight: list[tuple[float, frozenset[UUID]]] = field(default_factory=list)
    waiting: list[ChunkMessage] = field(default_factory=list)
    timer: asyncio.TimerHandle | None = None

    def stop_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
        self.timer = None


@dataclass(slots=True)
class Publisher:
    """Publishes accepted chunks; only the event loop's thread calls it."""

    thread: PublisherThread
    listener: Listener
    _backlogs: dict[str, _Backlog] = field(default_factory=lambda: defaultdict(_Backlog))

    def publish(self, database: str, chunks: Sequence[ChunkMessage], *, small: bool = False) -> None:
        """Publish chunks. A ``small`` batch is one chunk; it may wait a moment and share a message with others.

        Raises:
            RuntimeError: no event loop runs in the calling thread.

        """
        asyncio.get_running_loop()
        # Without notifications nothing tells when a message in flight has been carried out.
        if not small or not self.listener.is_connected or _max_batches_in_message() == 1:
            self.thread.put(database, chunks)
            return
        self._backlogs[database].waiting.extend(chunks)
        self._send_allowed(database)

    def ended(self, database: str, batch_ids: Collection[UUID]) -> None:
        """Send what waits, now that batches of ``database`` have ended."""
        if database in self._backlogs:
            backlog = self._backlogs[database]
            backlog.in_flight = [sent for sent in backlog.in_flight if sent[1].isdisjoint(batch_ids)]
            self._send_allowed(database)

    def stop(self) -> None:
        """Send all that waits."""
        for database in self._backlogs:
            self._send_all(database)

    def _send_allowed(self, database: str) -> None:
        backlog, now = self._backlogs[database], asyncio.get_running_loop().time()
        backlog.in_flight = [sent for sent in backlog.in_flight if sent[0] > now]
        # Half of the worker processes: each takes several batches at a time.
        while backlog.waiting and len(backlog.in_flight) < max(1, settings().worker_processes // 2):
            sent = frozenset(chunk.batch_id for chunk in self._send_one(database))
            backlog.in_flight.append((now + _MAX_FLIGHT_SECONDS, sent))
        backlog.stop_timer()
        if backlog.waiting:
            # The oldest message in flight bounds everyone's wait.
            loop, until = asyncio.get_running_loop(), backlog.in_flight[0][0]
            backlog.timer = loop.call_at(until, self._send_all, database)

    def _send_all(self, database: str) -> None:
        backlog = self._backlogs[database]
        while backlog.waiting:
            self._send_one(database)
        backlog.stop_timer()

    def _send_one(self, database: str) -> list[ChunkMessage]:
        """Send one message with as many waiting chunks as it may name; return these."""
        backlog, limit = self._backlogs[database], _max_batches_in_message()
        chunks, backlog.waiting = backlog.waiting[:limit], backlog.waiting[limit:]
        self.thread.put(database, chunks, together=True)
        return chunks


def _max_batches_in_message() -> int:
    """Return how many small batches one message may name: never more items than a chunk may have."""
    limits = settings()
    return max(1, min(_MAX_BATCHES_IN_MESSAGE, limits.chunk_items // limits.small_batch)) if limits.small_batch else 1


@contextlib.contextmanager
def running_publisher(listener: Listener) -> Iterator[Publisher]:
    """Yield the publisher of this process, its thread running."""
    thread = PublisherThread()
    publisher = Publisher(thread, listener)
    runner = threading.Thread(target=thread.run, name="publisher", daemon=True)
    runner.start()
    try:
        yield publisher
    finally:
        publisher.stop()
        thread.stop()
        runner.join(timeout=5)
