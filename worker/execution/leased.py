"""Leased execution: carry out one chunk under a claim that is committed first, so that a worker's death is counted.

claim → store inline contents → rounds of lock, apply, settle, commit → close → finish the batch. A crash may end any
step: the next worker to claim the chunk repeats what was not committed.
"""

import random
import time
from collections.abc import Iterator, Sequence
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
_MAX_GROUP_CONTENTS = 100  # so that the lease is renewed often enough between groups
_MAX_RELEASE_DELAY = timedelta(minutes=1)
_CLOCK_MARGIN_SECONDS = 1  # Celery starts a task's time limit at most this long before ``began``
_RELEASE_RETRY_SECONDS = (0.1, 0.3, 1, 2, 4)


class _LostLeaseError(Exception):
    """Our lease ran out and another worker has claimed the chunk: stop without a trace."""


def execute(database: str, chunk_id: int, worker: str, began: float) -> str:
    """Carry out one chunk, whatever happened to it before, and return in a few words how it went.

    ``began``: when its task began, in monotonic seconds.
    """
    claim = None
    try:
        claim = _claim(database, chunk_id, worker)
        if claim is None:
            return "nothing to do"
        closed = _execute_rounds(database, claim)
        finish_batch(database, claim.batch_id)
    except _LostLeaseError:
        return "taken over"
    except (LimpetError, DBAPIError) as fault:
        if isinstance(fault, DBAPIError) and not is_transient(fault):
            raise
        return _release(database, claim, fault)
    except BaseException as fault:
        if is_stop_request(fault, began):
            if claim is None:
                claim_and_release(database, chunk_id, worker, fault)
            else:
                _release(database, claim, fault)
        raise  # after a bug the lease runs out, which counts as a death
    return summarize([closed])


def is_stop_request(fault: BaseException, began: float) -> bool:
    """Return whether the worker has to stop (SystemExit) for another reason than this task, which began at ``began``.

    Celery also stops a task past its time limit in this way before it kills it; that counts as a death.
    """
    seconds = time.monotonic() - began
    return not isinstance(fault, Exception) and seconds < settings().task_seconds - _CLOCK_MARGIN_SECONDS


def _claim(database: str, chunk_id: int, worker: str) -> Claim | None:
    with transaction(database) as session:
        return claims.claim(session, chunk_id, worker, settings().lease)


def claim_and_release(database: str, chunk_id: int, worker: str, fault: BaseException) -> None:
    """Claim a chunk only to release it, so that the relay publishes it again soon; do nothing without the database."""
    claim = None
    with suppress(DBAPIError):
        claim = _claim(database, chunk_id, worker)
    _release(database, claim, fault)


def _release(database: str, claim: Claim | None, fault: BaseException) -> str:
    """Leave the chunk open for later: each attempt waits longer, with jitter so that many don't come at once."""
    if claim is None:
        log_transient("chunk.not_claimed", fault, database=database)
        return "left to the relay"
    delay = min(_MAX_RELEASE_DELAY, timedelta(seconds=0.5 * 2 ** min(claim.attempt, 10)))
    delay *= random.uniform(0.5, 1)  # noqa: S311  no secret
    log_transient("chunk.released", fault, database=database, chunk=claim.chunk_id, attempt=claim.attempt, pause=delay)
    reason = summarize_fault(fault) if isinstance(fault, Exception) else "the worker was told to stop"
    for seconds in _RELEASE_RETRY_SECONDS:
        try:
            with transaction(database) as session:
                claims.release(session, claim, delay, reason)
            return "handed back"
        except DBAPIError as failure:
            if not is_transient(failure):
                raise
            # A late release counts nothing; a lease that runs out counts as a death.
            time.sleep(seconds)
    return "left to its lease"


@dataclass(frozen=True, slots=True)
class _Round:
    """What one transaction left to do: items whose contents to store first, an item to run alone next, or nothing.

    ``closed`` is set once the chunk is done.
    """

    closed: ClosedChunk | None = None
    waiting: Sequence[ItemId] = ()
    suspect: ItemId | None = None


def _execute_rounds(database: str, claim: Claim) -> ClosedChunk:
    """Carry out rounds until the chunk is closed; return how."""
    last = _Round()
    while last.closed is None:
        _store_contents(database, claim, last)
        try:
            with transaction(database) as session:
                _renew_lease(session, claim, last.suspect)
                last = _execute_round(session, claim, last.suspect)
        except OvertakenError:
            last = _Round(suspect=last.suspect)  # the next round reads again
    return last.closed


def _execute_round(session: Session, claim: Claim, suspect: ItemId | None) -> _Round:
    items = lock_open_items(session, [claim], 1 if claim.alone or suspect else MAX_LOCKED_ITEMS)
    alone = claim.alone or any(item.deaths for item in items)
    if alone and items and items[0].item_id != suspect:
        # The suspect is committed before it runs, so that a death meanwhile counts against it.
        _renew_lease(session, claim, items[0].item_id)
        return _Round(suspect=items[0].item_id)
    if waiting := [item.item_id for item in items if has_inline_content(item)]:
        return _Round(waiting=waiting, suspect=suspect)
    verdicts = _quarantine(session, items) + apply(session, [item for item in items if not _is_quarantined(item)])
    closed = completion.close(session, [claim.chunk_id])
    if not (closed or verdicts):
        raise RuntimeError(f"chunk {claim.chunk_id} has nothing to do and is not done")
    return _Round(closed=closed[0] if closed else None)


def has_inline_content(item: OpenItem) -> bool:
    """Return whether the bytes of ``item`` must be stored before it can be carried out."""
    # A cancelled or quarantined item must not touch the store first: that may be what kills its worker.
    return item.content_size is not None and not item.cancelled and item.deaths < MAX_DEATHS


def _renew_lease(session: Session, claim: Claim, suspect: ItemId | None) -> None:
    if not claims.renew_lease(session, claim, settings().lease, suspect):
        raise _LostLeaseError


def _is_quarantined(item: OpenItem) -> bool:
    return item.deaths >= MAX_DEATHS and not item.cancelled


def _quarantine(session: Session, items: Sequence[OpenItem]) -> Verdicts:
    """Settle the items that killed their workers too often, without carrying them out."""
    verdicts: Verdicts = [
        (item.item_id, QUARANTINED if item.key is None else QUARANTINED.on(item.key))
        for item in items
        if _is_quarantined(item)
    ]
    return settle_verdicts(session, verdicts)


def _store_contents(database: str, claim: Claim, last: _Round) -> None:
    """Move inline contents to the store, some megabytes at a time; renew the lease meanwhile and lock no item."""

    def renew_lease() -> None:
        with transaction(database) as session:
            _renew_lease(session, claim, last.suspect)

    for group in _read_groups(database, last.waiting):
        renew_lease()
        stored = write.write_contents(database, [content for _, content in group], renew_lease)
        with transaction(database) as session:
            inline_contents.assign_blobs(session, group, stored)


def _read_groups(database: str, item_ids: Sequence[ItemId]) -> Iterator[list[tuple[ItemId, PendingContent]]]:
    """Yield the contents that are still inline, in groups of about ``chunk_bytes``."""
    group: list[tuple[ItemId, PendingContent]] = []
    size = 0
    for item_id in item_ids:
        with transaction(database) as session:
            data = read_content(session, item_id)
        if data is None:
            continue
        if group and (size + len(data) > settings().chunk_bytes or len(group) == _MAX_GROUP_CONTENTS):
            yield group
            group, size = [], 0
        group.append((item_id, PendingContent.of(data)))
        size += len(data)
    if group:
        yield group
