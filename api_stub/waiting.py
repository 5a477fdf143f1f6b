"""Wait for batches to end, without a thread for each: one query for all who wait in this process.

A message over Redis would be a hint at most; the ledger is asked anyway, often
at first and then less, so a wait costs little and ends soon after the batch.
"""

import asyncio
import contextlib
import signal
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from types import FrameType
from uuid import UUID

import anyio.to_thread
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from worker.database import transaction
from worker.ledger.report import ended
from worker.log import trouble

_SHORTEST, _LONGEST = 0.004, 0.1


@dataclass(slots=True)
class Waiting:
    """The batches that requests of this process wait for, by database."""

    _events: dict[str, dict[UUID, list[asyncio.Event]]] = field(default_factory=lambda: defaultdict(dict))
    _somebody: asyncio.Event = field(default_factory=asyncio.Event)
    closed: bool = False
    """nobody is to wait any more, because the process is about to end"""

    def close(self) -> None:
        """Let all who wait go, and nobody wait from now on: they answer with what is known."""
        self.closed = True
        for waiting in [waiter for batches in self._events.values() for some in batches.values() for waiter in some]:
            waiting.set()

    async def until_ended(self, database: str, batch_id: UUID, longest: timedelta) -> None:
        """Return when the batch has ended, or after ``longest``, or when the room is closed."""
        if self.closed:
            return
        ended_event = asyncio.Event()
        waiting = self._events[database].setdefault(batch_id, [])
        waiting.append(ended_event)
        self._somebody.set()
        try:
            async with asyncio.timeout(longest.total_seconds()):
                await ended_event.wait()
        except TimeoutError:
            pass  # the caller reads the ledger and sees how far it is
        finally:
            waiting.remove(ended_event)
            if not waiting:
                self._events[database].pop(batch_id, None)

    async def watch(self) -> None:
        """Ask the ledger for all who wait, until cancelled; a database that is away is asked again."""
        pause = _SHORTEST
        while True:
            if not any(self._events.values()):
                self._somebody.clear()
                await self._somebody.wait()
                pause = _SHORTEST
            woke = False
            for database in [name for name, batches in self._events.items() if batches]:
                woke |= await self._ask(database)
            pause = _SHORTEST if woke or self._somebody.is_set() else min(pause * 1.5, _LONGEST)
            self._somebody.clear()
            await asyncio.sleep(pause)

    async def _ask(self, database: str) -> bool:
        batches = self._events[database]
        try:
            done = await anyio.to_thread.run_sync(_ended, database, list(batches))
        except (DBAPIError, PoolTimeoutError) as fault:
            trouble("waiting.database", fault, database=database)
            return False
        for batch_id in done:
            for waiter in batches.get(batch_id, []):
                waiter.set()
        return bool(done)


def _ended(database: str, ids: list[UUID]) -> set[UUID]:
    with transaction(database) as session:
        return ended(session, ids)


@contextlib.asynccontextmanager
async def watching() -> AsyncIterator[Waiting]:
    """Yield the waiting room of this process, its watch running; a signal to end closes it."""
    room = Waiting()
    watch = asyncio.create_task(room.watch())
    try:
        with _closed_by_signals(room):
            yield room
    finally:
        watch.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watch


@contextlib.contextmanager
def _closed_by_signals(room: Waiting) -> Iterator[None]:
    """Close ``room`` at SIGTERM and SIGINT, before the server acts on them: it waits for every answer."""
    if threading.current_thread() is not threading.main_thread():  # signals are none of its business
        yield
        return
    loop = asyncio.get_running_loop()
    ours = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    servers = {number: handler for number, handler in ours.items() if callable(handler)}

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
