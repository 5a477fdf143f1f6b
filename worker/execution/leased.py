"""Deliver one chunk with care: claimed and committed first, so that whatever stops its worker is known and counted.

claim → store what content still waits → bites: lock, apply, settle, commit → close → finish the batch. Each step may
be cut off anywhere; what was not committed is done again by whoever claims next.
"""

import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from worker.blobs import write
from worker.blobs.write import PendingContent
from worker.database import is_transient, transaction
from worker.errors import LimpetError, OvertakenError
from worker.execution.apply import Verdicts, apply, settle_verdicts
from worker.execution.finish import finish_batch, summarize
from worker.ledger import claims, completion, inline_contents
from worker.ledger.claims import MAX_DEATHS
from worker.ledger.completion import ClosedChunk
from worker.ledger.inline_contents import read_content
from worker.ledger.model import Claim, ItemId
from worker.ledger.open_items import OpenItem, lock_open_items
from worker.log import log_transient, summarize_fault
from worker.settings import settings
from worker.verdicts import QUARANTINED

MAX_LOCKED_ITEMS = 2000  # twice a chunk, so that earlier items of its keys fit in with it
_GROUP = 100  # contents at most, so that the signs of life between groups come in time
_LONGEST_PAUSE = timedelta(minutes=1)
_BEFORE_US = 1  # seconds at most that Celery has counted more than we
_PATIENCE = (0.1, 0.3, 1, 2, 4)  # seconds between tries to hand back


class _LostLeaseError(Exception):
    """Our lease ran out and somebody else took over: stop without a trace."""


def execute(database: str, chunk_id: int, worker: str, began: float) -> str:
    """Carry out one chunk, whatever became of it before, and say in a few words how it went.

    ``began``: when its task did, in monotonic seconds.
    """
    held = None
    try:
        held = _claim(database, chunk_id, worker)
        if held is None:
            return "nothing to do"
        closed = _rounds(database, held)
        finish_batch(database, held.batch_id)
    except _LostLeaseError:
        return "taken over"
    except (LimpetError, DBAPIError) as fault:
        if isinstance(fault, DBAPIError) and not is_transient(fault):
            raise
        return _hand_back(database, held, fault)
    except BaseException as end:
        if is_stop_request(end, began):
            if held is None:
                claim_and_release(database, chunk_id, worker, end)
            else:
                _hand_back(database, held, end)
        raise  # a bug is left to the lease, and counts
    return summarize([closed])


def is_stop_request(end: BaseException, began: float) -> bool:
    """Return whether the worker is to stop (SystemExit), and not for the sake of this task, which began at ``began``.

    A task past its time limit is told to stop, too, before Celery kills it; that one counts.
    """
    return not isinstance(end, Exception) and time.monotonic() - began < settings().task_seconds - _BEFORE_US


def _claim(database: str, chunk_id: int, worker: str) -> Claim | None:
    with transaction(database) as session:
        return claims.claim(session, chunk_id, worker, settings().lease)


def claim_and_release(database: str, chunk_id: int, worker: str, fault: BaseException) -> None:
    """Claim a chunk, if the database can, for no more than to hand it back: the relay rings soon then."""
    held = None
    with suppress(DBAPIError):
        held = _claim(database, chunk_id, worker)
    _hand_back(database, held, fault)


def _hand_back(database: str, held: Claim | None, fault: BaseException) -> str:
    """Leave the chunk open for later: each attempt waits longer, with jitter so that many don't come at once."""
    if held is None:
        log_transient("chunk.not_claimed", fault, database=database)
        return "left to the relay"
    pause = min(_LONGEST_PAUSE, timedelta(seconds=0.5 * 2 ** min(held.attempt, 10))) * random.uniform(0.5, 1)  # noqa: S311  no secret
    log_transient("chunk.released", fault, database=database, chunk=held.chunk_id, attempt=held.attempt, pause=pause)
    for patience in _PATIENCE:
        try:
            with transaction(database) as session:
                claims.release(session, held, pause, _why(fault))
            return "handed back"
        except DBAPIError as still:
            if not is_transient(still):
                raise
            # Handing back late blames nobody; a lease that runs out looks like a death.
            time.sleep(patience)
    return "left to its lease"


def _why(fault: BaseException) -> str:
    return summarize_fault(fault) if isinstance(fault, Exception) else "the worker was told to stop"


@dataclass(frozen=True, slots=True)
class _Round:
    """What one transaction left to do: contents to store first, or an item to run alone next, or nothing.

    ``closed`` is set once the chunk is done.
    """

    closed: ClosedChunk | None = None
    waiting: Sequence[ItemId] = ()
    suspect: ItemId | None = None


def _rounds(database: str, held: Claim) -> ClosedChunk:
    """Carry out the rounds that the chunk takes; return how it was closed."""
    last = _Round()
    while last.closed is None:
        _store_contents(database, held, last)
        try:
            with transaction(database) as session:
                _keep(session, held, last.suspect)
                last = _round(session, held, last.suspect)
        except OvertakenError:
            last = _Round(suspect=last.suspect)  # the next round reads again
    return last.closed


def _round(session: Session, held: Claim, suspect: ItemId | None) -> _Round:
    items = lock_open_items(session, [held], 1 if held.alone or suspect else MAX_LOCKED_ITEMS)
    alone = held.alone or any(item.deaths for item in items)
    if alone and items and items[0].item_id != suspect:
        # Named and committed before it runs, so that a death while it runs is its own.
        _keep(session, held, items[0].item_id)
        return _Round(suspect=items[0].item_id)
    if waiting := [item.item_id for item in items if has_inline_content(item)]:
        return _Round(waiting=waiting, suspect=suspect)
    ended = _set_aside(session, items) + apply(session, [i for i in items if not _is_poison(i)])
    closed = completion.close(session, [held.chunk_id])
    if not (closed or ended):
        raise RuntimeError(f"chunk {held.chunk_id} has nothing to do and is not done")
    return _Round(closed=closed[0] if closed else None)


def has_inline_content(item: OpenItem) -> bool:
    """Return whether the bytes of ``item`` must be stored before it can be carried out."""
    # What is to be cancelled or set aside must not touch the store first: that may be what kills its worker.
    return item.content_size is not None and not item.cancelled and item.deaths < MAX_DEATHS


def _keep(session: Session, held: Claim, suspect: ItemId | None) -> None:
    if not claims.renew_lease(session, held, settings().lease, suspect):
        raise _LostLeaseError


def _is_poison(item: OpenItem) -> bool:
    return item.deaths >= MAX_DEATHS and not item.cancelled


def _set_aside(session: Session, items: Sequence[OpenItem]) -> Verdicts:
    poison = [item for item in items if _is_poison(item)]
    verdicts: Verdicts = [
        (item.item_id, QUARANTINED if item.key is None else QUARANTINED.on(item.key)) for item in poison
    ]
    return settle_verdicts(session, verdicts)


def _store_contents(database: str, held: Claim, last: _Round) -> None:
    """Move inline contents to the store, some megabytes at a time, the lease kept meanwhile; no row is locked."""

    def pulse() -> None:
        with transaction(database) as session:
            _keep(session, held, last.suspect)

    for group in _groups(database, last.waiting, pulse):
        stored = write.write_contents(database, [content for _, content in group], pulse)
        with transaction(database) as session:
            inline_contents.assign_blobs(session, group, stored)


def _groups(
    database: str, places: Iterable[ItemId], pulse: Callable[[], None]
) -> Iterator[list[tuple[ItemId, PendingContent]]]:
    group: list[tuple[ItemId, PendingContent]] = []
    size = 0
    for item_id in places:
        with transaction(database) as session:
            data = read_content(session, item_id)
        if data is None:
            continue
        if group and (size + len(data) > settings().chunk_bytes or len(group) == _GROUP):
            pulse()
            yield group
            group, size = [], 0
        group.append((item_id, PendingContent.of(data)))
        size += len(data)
    if group:
        pulse()
        yield group
