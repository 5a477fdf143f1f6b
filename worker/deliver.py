"""Deliver one chunk: exactly once, in order, however often its message comes.

claim (committed) → store what content still waits → bites: lock, apply, settle,
commit → close → finish the batch. Each step may be cut off anywhere; what was
not committed is done again by whoever claims next.

Most chunks need none of that care: they are new, small, and nothing is wrong
with them. So the first delivery tries all of it in one transaction of short
statements (`_begin`); whatever goes wrong there is rolled back and tried again
in the careful steps, which know whom to blame.
"""

import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from worker import blobs
from worker.apply import Verdicts, apply
from worker.blobs import Content
from worker.database import passing, transaction
from worker.errors import LimpetError, OvertakenError
from worker.ledger import arrows
from worker.ledger.arrows import MOST_DEATHS, Claim, Place
from worker.ledger.bites import OpenItem, bite, content_of
from worker.log import event, in_short, trouble
from worker.settings import settings
from worker.verdicts import POISON

_BITE_ITEMS = 1000
_GROUP = 100  # contents at most, so that the signs of life between groups come in time
_LONGEST_PAUSE = timedelta(minutes=1)
_BEFORE_US = 1  # seconds at most that Celery has counted more than we
_PATIENCE = (0.1, 0.3, 1, 2, 4)  # seconds between tries to hand back


class _LostLeaseError(Exception):
    """Our lease ran out and somebody else took over: stop without a trace."""


def deliver(database: str, chunk_id: int, worker: str) -> str:
    """Carry out one chunk and return in a few words what became of it; never raises for what passes by itself."""
    held, began = None, time.monotonic()
    try:
        held, last = _begin(database, chunk_id, worker)
        if held is None:
            return "nothing to do"
        last = _carry_out(database, held, last)
        _finish(database, held, last)
    except _LostLeaseError:
        return "taken over"
    except (LimpetError, DBAPIError) as fault:
        if isinstance(fault, DBAPIError) and not passing(fault):
            raise
        return _hand_back(database, held, fault)
    except BaseException as end:
        # A worker that is told to stop (SystemExit) hands back. A bug is left to the lease, and counts; so does a task
        # past its time limit, which Celery tells to stop, too, before it kills it.
        if not isinstance(end, Exception) and time.monotonic() - began < settings().task_seconds - _BEFORE_US:
            with suppress(DBAPIError):
                held = held or _claim(database, chunk_id, worker)
            _hand_back(database, held, end)
        raise
    return ", ".join(f"{n} {outcome}" for outcome, n in (last.closed or {}).items())


def _begin(database: str, chunk_id: int, worker: str) -> tuple[Claim | None, "_Round"]:
    """Claim the chunk, and carry it out in the same transaction if nothing speaks against it.

    A worker that dies in there is not counted, but the relay rings then, and soon no claim of it is a fresh one.
    """
    try:
        with transaction(database) as session:
            held = arrows.claim(session, chunk_id, worker, settings().lease)
            return held, _first_round(session, held) if held and held.fresh else _Round()
    except Exception as fault:  # noqa: BLE001  the careful way meets it again and knows what to do about it
        trouble("chunk.first_try", fault, database=database, chunk=chunk_id)
    return _claim(database, chunk_id, worker), _Round()


def _claim(database: str, chunk_id: int, worker: str) -> Claim | None:
    with transaction(database) as session:
        return arrows.claim(session, chunk_id, worker, settings().lease)


def _finish(database: str, held: Claim, last: "_Round") -> None:
    if last.finished:
        ended = True
    else:
        with transaction(database) as session:
            ended = arrows.finish(session, held.batch_id)
    if ended:
        event("batch.finished", database=database, batch=held.batch_id)


def _hand_back(database: str, held: Claim | None, fault: BaseException) -> str:
    """Leave the chunk open for later: each attempt waits longer, with jitter so that many don't come at once."""
    if held is None:
        trouble("chunk.not_claimed", fault, database=database)
        return "left to the relay"
    pause = min(_LONGEST_PAUSE, timedelta(seconds=0.5 * 2 ** min(held.attempt, 10))) * random.uniform(0.5, 1)  # noqa: S311  no secret
    trouble("chunk.released", fault, database=database, chunk=held.chunk_id, attempt=held.attempt, pause=pause)
    for patience in _PATIENCE:
        try:
            with transaction(database) as session:
                arrows.release(session, held, pause, _why(fault))
            return "handed back"
        except DBAPIError as still:
            if not passing(still):
                raise
            # Handing back late blames nobody; a lease that runs out looks like a death.
            time.sleep(patience)
    return "left to its lease"


def _why(fault: BaseException) -> str:
    return in_short(fault) if isinstance(fault, Exception) else "the worker was told to stop"


@dataclass(frozen=True, slots=True)
class _Round:
    """What one transaction left to do: contents to store first, or an item to run alone next, or nothing.

    ``closed`` is set once the chunk is done: how many of its items ended how; ``finished``: so did its batch.
    """

    closed: dict[str, int] | None = None
    waiting: Sequence[Place] = ()
    suspect: Place | None = None
    finished: bool = False


def _carry_out(database: str, held: Claim, last: _Round) -> _Round:
    """Go on after the round ``last`` until the chunk is done."""
    while last.closed is None:
        _store_contents(database, held, last)
        try:
            with transaction(database) as session:
                _keep(session, held, last.suspect)
                last = _round(session, held, last.suspect)
        except OvertakenError:
            last = _Round(suspect=last.suspect)  # the next round reads again
    return last


def _first_round(session: Session, held: Claim) -> _Round:
    """Carry out a chunk that was just claimed by this very transaction; nothing in it is guarded."""
    last = _round(session, held, None, guarded=False)
    # Were it one of several chunks, two last ones that commit together would not see each other.
    finished = last.closed is not None and held.whole and arrows.finish(session, held.batch_id)
    return replace(last, finished=finished)


def _round(session: Session, held: Claim, suspect: Place | None, *, guarded: bool = True) -> _Round:
    items = bite(session, held, 1 if held.alone or suspect else _BITE_ITEMS)
    alone = held.alone or any(item.deaths for item in items)
    if alone and items and items[0].place != suspect:
        # Named and committed before it runs, so that a death while it runs is its own.
        _keep(session, held, items[0].place)
        return _Round(suspect=items[0].place)
    if waiting := [item.place for item in items if _content_waits(item)]:
        return _Round(waiting=waiting, suspect=suspect)
    ended = _set_aside(session, items) + apply(session, [i for i in items if not _is_poison(i)], guarded=guarded)
    closed = arrows.close(session, [held.chunk_id])
    if not (closed or ended):
        raise RuntimeError(f"chunk {held.chunk_id} has nothing to do and is not done")
    return _Round(closed=closed[0] if closed else None)


def _content_waits(item: OpenItem) -> bool:
    # What is to be cancelled or set aside must not touch the store first: that may be what kills its worker.
    return item.content_size is not None and not item.cancelled and item.deaths < MOST_DEATHS


def _keep(session: Session, held: Claim, suspect: Place | None) -> None:
    if not arrows.hold(session, held, settings().lease, suspect):
        raise _LostLeaseError


def _is_poison(item: OpenItem) -> bool:
    return item.deaths >= MOST_DEATHS and not item.cancelled


def _set_aside(session: Session, items: Sequence[OpenItem]) -> Verdicts:
    poison = [item for item in items if _is_poison(item)]
    ends: Verdicts = [(item.place, POISON if item.key is None else POISON.on(item.key)) for item in poison]
    if ends:
        arrows.settle(session, ends)
    return ends


def _store_contents(database: str, held: Claim, last: _Round) -> None:
    """Move inline contents to the store, some megabytes at a time, the lease kept meanwhile; no row is locked."""

    def pulse() -> None:
        with transaction(database) as session:
            _keep(session, held, last.suspect)

    for group in _groups(database, last.waiting, pulse):
        stored = blobs.write(database, [content for _, content in group], pulse)
        with transaction(database) as session:
            blobs.assign(session, group, stored)


def _groups(database: str, places: Iterable[Place], pulse: Callable[[], None]) -> Iterator[list[tuple[Place, Content]]]:
    group: list[tuple[Place, Content]] = []
    size = 0
    for place in places:
        with transaction(database) as session:
            data = content_of(session, place)
        if data is None:
            continue
        if group and (size + len(data) > settings().chunk_bytes or len(group) == _GROUP):
            pulse()
            yield group
            group, size = [], 0
        group.append((place, Content.of(data)))
        size += len(data)
    if group:
        pulse()
        yield group
