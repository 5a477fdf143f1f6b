"""Wait for batches to end, without a thread for each: notifications release waiters, and polling finds the others.

One query polls the ledger for all waiters of one database: often at first and then less while no notifications come,
else now and then.
"""

import asyncio
import contextlib
import math
import signal
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import FrameType
from uuid import UUID

import anyio
from anyio.to_thread import run_sync
from sqlalchemy.exc import SQLAlchemyError

from worker.broker.notifications import NO_VERDICTS, ItemVerdicts, Listener
from worker.database import autocommit
from worker.ledger.read.report import find_ended
from worker.log import log_transient

# Seconds between two polls: a share of the newest wait so far, or of the usual wait if that is longer. So no wait is
# much longer than needed, and polling takes little of the time that the work needs.
_POLL_SHARE, _MIN_POLL_SECONDS, _MAX_POLL_SECONDS = 0.15, 0.003, 0.1
_NOTIFIED_POLL_SECONDS = 0.05  # the least while notifications come: polling then finds only what was lost
# One poll of a database runs at a time; it must not wait for threads that another database holds.
_POLL_THREADS = anyio.CapacityLimiter(math.inf)


@dataclass(slots=True)
class _Room:
    """The waiters for batches of one database, and the task that polls for them."""

    waiters: dict[UUID, list[asyncio.Future[ItemVerdicts]]] = field(default_factory=dict)
    newest: float = 0.0
    """when the newest waiter came, in the loop's seconds"""
    usual: float = 0.0
    """the running mean of the seconds that waits take, a tenth at most"""
    watch: asyncio.Task[None] | None = None


@dataclass(slots=True)
class Waiters:
    """The requests of this process that wait for batches, in a room for each database."""

    listener: Listener
    _rooms: dict[str, _Room] = field(default_factory=lambda: defaultdict(_Room))
    closed: bool = False
    """the process is about to end, so no request waits"""

    def close(self) -> None:
        """Release all waiters and let no request wait from now on; they answer with what is known."""
        self.closed = True
        for room in self._rooms.values():
            _release(room, dict.fromkeys(room.waiters, NO_VERDICTS))

    def ended(self, database: str, ended: Mapping[UUID, ItemVerdicts]) -> None:
        """Release the waiters for finished batches of ``database``, and give them the verdicts."""
        if database in self._rooms:
            _release(self._rooms[database], ended)

    async def until_ended(self, database: str, batch_id: UUID, limit: timedelta) -> ItemVerdicts:
        """Wait until the batch has ended, ``limit`` is over or `close` is called; return the verdicts that came."""
        if self.closed:
            return NO_VERDICTS
        room = self._rooms[database]
        future: asyncio.Future[ItemVerdicts] = asyncio.get_running_loop().create_future()
        waiting = room.waiters.setdefault(batch_id, [])
        waiting.append(future)
        began = room.newest = asyncio.get_running_loop().time()
        if room.watch is None or room.watch.done():
            room.watch = asyncio.create_task(self._watch(database, room))
        try:
            async with asyncio.timeout(limit.total_seconds()):
                ends = await future
            waited = asyncio.get_running_loop().time() - began
            room.usual += (min(waited, _MAX_POLL_SECONDS) - room.usual) / 8
        except TimeoutError:
            return NO_VERDICTS  # the caller reads the ledger and sees how far it is
        else:
            return ends
        finally:
            waiting.remove(future)
            if not waiting:
                room.waiters.pop(batch_id, None)

    async def stop(self) -> None:
        """End the tasks."""
        watches = [room.watch for room in self._rooms.values() if room.watch]
        for watch in watches:
            watch.cancel()
        await asyncio.gather(*watches, return_exceptions=True)

    async def _watch(self, database: str, room: _Room) -> None:
        """Poll the ledger while there are waiters; a database that is away is polled again."""
        now = asyncio.get_running_loop().time
        poll_seconds = 0.0
        while room.waiters:
            waited = max(now() - room.newest, room.usual)
            shortest = _NOTIFIED_POLL_SECONDS if self.listener.is_connected else _MIN_POLL_SECONDS
            await asyncio.sleep(max(shortest, poll_seconds, min(_POLL_SHARE * waited, _MAX_POLL_SECONDS)))
            if not room.waiters:  # a notification released them
                break
            began = now()
            try:
                # Abandoned at the end, or a hanging database would keep the process from ending.
                done = await run_sync(
                    _find_ended_batches, database, list(room.waiters), abandon_on_cancel=True, limiter=_POLL_THREADS
                )
            except SQLAlchemyError as error:
                log_transient("waiting.database", error, database=database)
                continue
            finally:
                poll_seconds = now() - began
            self.ended(database, dict.fromkeys(done, NO_VERDICTS))


def _release(room: _Room, ended: Mapping[UUID, ItemVerdicts]) -> None:
    for batch_id, ends in ended.items():
        for waiter in room.waiters.get(batch_id, []):
            if not waiter.done():
                waiter.set_result(ends)


def _find_ended_batches(database: str, ids: list[UUID]) -> set[UUID]:
    with autocommit(database) as session:
        return find_ended(session, ids)


@contextlib.asynccontextmanager
async def running_waiters(listener: Listener) -> AsyncIterator[Waiters]:
    """Yield the waiters of this process; a signal to end closes them."""
    waiters = Waiters(listener)
    try:
        with _close_on_signals(waiters):
            yield waiters
    finally:
        await waiters.stop()


@contextlib.contextmanager
def _close_on_signals(waiters: Waiters) -> Iterator[None]:
    """Close ``waiters`` at SIGTERM and SIGINT, before the server acts on them: it waits for every answer."""
    if threading.current_thread() is not threading.main_thread():  # only the main thread may handle signals
        yield
        return
    loop = asyncio.get_running_loop()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    servers = {number: handler for number, handler in handlers.items() if callable(handler)}

    def close(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(waiters.close)
        servers[signal.Signals(number)](number, frame)

    for number in servers:
        signal.signal(number, close)
    try:
        yield
    finally:
        for number, server in servers.items():
            signal.signal(number, server)
