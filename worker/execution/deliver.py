"""Deliver chunks: exactly once, in order, however often their message comes.

Most chunks are new and small, and nothing is wrong with them. So the first delivery is one transaction of short
statements (`_at_once`), for all chunks that the message names; whatever speaks against it is rolled back, and each
chunk goes the careful steps (`worker.execution.leased`), which know whom to blame.
"""

import time
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.orm import Session

from worker.broker.notifications import NO_VERDICTS, ItemVerdicts
from worker.broker.publish import publish_one_by_one
from worker.database import transaction
from worker.errors import BrokerUnavailableError
from worker.execution import leased
from worker.execution.apply import Verdicts, apply
from worker.execution.finish import finish_batch, notify_ended, summarize
from worker.ledger import claims, completion
from worker.ledger.completion import ClosedChunk
from worker.ledger.model import ChunkRange
from worker.ledger.open_items import lock_open_items
from worker.log import log_transient
from worker.settings import settings
from worker.verdicts import Verdict


class _NeedsLeaseError(Exception):
    """What is named, or was picked, is not to be carried out at once."""


def deliver(database: str, chunk_ids: Sequence[int], worker: str) -> str:
    """Carry out chunks and return in a few words what became of them; never raises for what passes by itself."""
    began = time.monotonic()
    try:
        return _at_once(database, chunk_ids, worker)
    except _NeedsLeaseError:
        pass
    except Exception as fault:  # noqa: BLE001  the careful way meets it again and knows what to do about it
        log_transient("chunks.first_try", fault, database=database, chunks=chunk_ids)
    except BaseException as end:
        if leased.is_stop_request(end, began):
            for chunk_id in chunk_ids:
                leased.claim_and_release(database, chunk_id, worker, end)
        raise
    if len(chunk_ids) > 1:
        return _apart(database, chunk_ids)
    return leased.execute(database, chunk_ids[0], worker, began)


def _at_once(database: str, chunk_ids: Sequence[int], worker: str) -> str:
    """Carry out the chunks that are fresh, in one transaction; of several, the relay rings for each of the others.

    A worker that dies in here is not counted, but the relay rings then, and soon the chunk is no fresh one.

    Raises:
        _NeedsCareError: the only chunk is not fresh, or there is more to do than one transaction should.

    """
    with transaction(database) as session:
        picked = claims.lock_fresh(session, chunk_ids)
        if not picked and len(chunk_ids) == 1:
            raise _NeedsLeaseError
        if not picked:
            return "nothing to do"
        closed, verdicts = _carry_out_at_once(session, picked, worker)
    ended = _ended(closed, verdicts)
    notify_ended(database, ended)
    for batch_id in {chunk.batch_id for chunk in picked}.difference(ended):
        finish_batch(database, batch_id)
    return summarize(closed)


def _carry_out_at_once(
    session: Session, picked: Sequence[ChunkRange], worker: str
) -> tuple[list[ClosedChunk], Verdicts]:
    items = lock_open_items(session, picked, leased.MAX_LOCKED_ITEMS)
    if any(item.deaths or leased.has_inline_content(item) for item in items):
        raise _NeedsLeaseError
    verdicts = apply(session, items, guarded=False)
    closed = completion.close_fresh(session, picked, worker)
    if len(closed) < len(picked):
        raise _NeedsLeaseError  # there is more to be helped than one bite
    return closed, verdicts


def _ended(closed: Sequence[ClosedChunk], verdicts: Verdicts) -> dict[UUID, ItemVerdicts]:
    """Return the batches that have ended: the small ones with how each item did, as far as that was decided here."""
    small = [
        chunk.ended
        for chunk in closed
        if chunk.ended and not chunk.cancelled and sum(chunk.counts.values()) <= settings().small_batch
    ]
    told: dict[UUID, dict[int, Verdict]] = {batch_id: {} for batch_id in small}
    for item_id, verdict in verdicts:
        if item_id.batch_id in told:
            told[item_id.batch_id][item_id.position] = verdict
    return {chunk.ended: told.get(chunk.ended, NO_VERDICTS) for chunk in closed if chunk.ended}


def _apart(database: str, chunk_ids: Sequence[int]) -> str:
    """Ring for each chunk alone: what speaks against one must not hold up the others."""
    try:
        publish_one_by_one(database, chunk_ids)
    except BrokerUnavailableError as fault:
        log_transient("chunks.left_to_relay", fault, database=database, chunks=chunk_ids)
    return "rung for one by one"
