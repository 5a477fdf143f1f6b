"""Wait for batches to end, without a thread for each: a hint says when, and one query asks for all who wait.

Hints may be lost, so the ledger is asked anyway, for all who wait for batches of one database: often at first and then
less where no hints are heard, else now and then.
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

# Seconds between two looks: a part of what the youngest has waited, or of what waits took lately if that is more, so
# that nobody waits much longer than needed, and looking does not take the time that the work needs.
_POLL_SHARE, _MIN_POLL_SECONDS, _MAX_POLL_SECONDS = 0.15, 0.003, 0.1
_NOTIFIED_POLL_SECONDS = (
    0.05  # seconds between two looks at least while hints are heard: only what they missed is found by looking
)
# There is one look at a database at a time; none may wait for threads that another one holds.
_POLL_THREADS = anyio.CapacityLimiter(math.inf)


@dataclass(slots=True)
class _Room:
    """Who waits for batches of one database, and the task that asks for them."""

    waiters: dict[UUID, list[asyncio.Future[ItemVerdicts]]] = field(default_factory=dict)
    newest: float = 0.0
    """when the last one came in, in the loop's seconds"""
    usual: float = 0.0
    """how many seconds waits take, a tenth at most"""
    watch: asyncio.Task[None] | None = None


@dataclass(slots=True)
class Waiters:
    """The batches that requests of this process wait for: a room for each database, so that none waits for another."""

    listener: Listener
    _rooms: dict[str, _Room] = field(default_factory=lambda: defaultdict(_Room))
    closed: bool = False
    """nobody is to wait any more, because the process is about to end"""

    def close(self) -> None:
        """Let all who wait go, and nobody wait from now on: they answer with what is known."""
        self.closed = True
        for room in self._rooms.values():
            _release(room, dict.fromkeys(room.waiters, NO_VERDICTS))

    def ended(self, database: str, ended: Mapping[UUID, ItemVerdicts]) -> None:
        """Let those go who wait for batches of ``database`` that have ended, and tell them how."""
        if database in self._rooms:
            _release(self._rooms[database], ended)

    async def until_ended(self, database: str, batch_id: UUID, limit: timedelta) -> ItemVerdicts:
        """Return when the batch has ended, or after ``limit``, or when the room is closed; with the ends heard of."""
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
        """Ask the ledger as long as anybody waits; a database that is away is asked again."""
        now = asyncio.get_running_loop().time
        poll_seconds = 0.0
        while room.waiters:
            waited = max(now() - room.newest, room.usual)
            shortest = _NOTIFIED_POLL_SECONDS if self.listener.is_connected else _MIN_POLL_SECONDS
            await asyncio.sleep(max(shortest, poll_seconds, min(_POLL_SHARE * waited, _MAX_POLL_SECONDS)))
            if not room.waiters:  # a hint let them go
                break
            began = now()
            try:
                # Abandoned, lest a database that hangs keeps the process from ending.
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
    """Yield the waiting rooms of this process; a signal to end closes them."""
    room = Waiters(listener)
    try:
        with _close_on_signals(room):
            yield room
    finally:
        await room.stop()


@contextlib.contextmanager
def _close_on_signals(room: Waiters) -> Iterator[None]:
    """Close ``room`` at SIGTERM and SIGINT, before the server acts on them: it waits for every answer."""
    if threading.current_thread() is not threading.main_thread():  # signals are none of its business
        yield
        return
    loop = asyncio.get_running_loop()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    servers = {number: handler for number, handler in handlers.items() if callable(handler)}

    def close(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(room.close)
        servers[signal.Signals(number)](number, frame)

    for number in servers:
        signal.signal(number, close)
    try:
        yield
    finally:
        for number, server in servers.items():
            signal.signal(number, server)
