"""Deliver chunks: exactly once, in order, however often their message comes.

Most chunks are fresh, small and faultless. So the first delivery of all chunks of a message is one transaction of short
statements (`_deliver_at_once`). On any failure it is rolled back, and each chunk goes through leased execution
(`worker.execution.leased`), which finds the item that is to blame.
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
    """The chunks can't be carried out at once."""


def deliver(database: str, chunk_ids: Sequence[int], worker: str) -> str:
    """Carry out chunks and return in a few words how they went; a transient fault is logged, not raised."""
    began = time.monotonic()
    try:
        return _deliver_at_once(database, chunk_ids, worker)
    except _NeedsLeaseError:
        pass
    except Exception as fault:  # noqa: BLE001  leased execution meets it again and handles it
        log_transient("chunks.first_try", fault, database=database, chunks=chunk_ids)
    except BaseException as fault:
        if leased.is_stop_request(fault, began):
            for chunk_id in chunk_ids:
                leased.claim_and_release(database, chunk_id, worker, fault)
        raise
    if len(chunk_ids) > 1:
        return _publish_one_by_one(database, chunk_ids)
    return leased.execute(database, chunk_ids[0], worker, began)


def _deliver_at_once(database: str, chunk_ids: Sequence[int], worker: str) -> str:
    """Carry out the fresh ones of the chunks in one transaction; if there are several, the relay publishes the others.

    A worker that dies in here is not counted. The relay publishes the chunk again then, and soon it is not fresh.

    Raises:
        _NeedsLeaseError: the only chunk is not fresh, or there is too much to do for one transaction.

    """
    with transaction(database) as session:
        chunks = claims.lock_fresh(session, chunk_ids)
        if not chunks and len(chunk_ids) == 1:
            raise _NeedsLeaseError
        if not chunks:
            return "nothing to do"
        closed, verdicts = _carry_out_at_once(session, chunks, worker)
    ended = _verdicts_of_ended(closed, verdicts)
    notify_ended(database, ended)
    for batch_id in {chunk.batch_id for chunk in chunks}.difference(ended):
        finish_batch(database, batch_id)
    return summarize(closed)


def _carry_out_at_once(
    session: Session, chunks: Sequence[ChunkRange], worker: str
) -> tuple[list[ClosedChunk], Verdicts]:
    items = lock_open_items(session, chunks, leased.MAX_LOCKED_ITEMS)
    if any(item.deaths or leased.has_inline_content(item) for item in items):
        raise _NeedsLeaseError
    verdicts = apply(session, items, guarded=False)
    closed = completion.close_fresh(session, chunks, worker)
    if len(closed) < len(chunks):
        raise _NeedsLeaseError  # the earlier items of these keys do not fit in one transaction
    return closed, verdicts


def _verdicts_of_ended(closed: Sequence[ClosedChunk], verdicts: Verdicts) -> dict[UUID, ItemVerdicts]:
    """Return the batches that have ended; the small ones with those verdicts on their items that were reached here."""
    small = [
        chunk.ended
        for chunk in closed
        if chunk.ended and not chunk.cancelled and sum(chunk.counts.values()) <= settings().small_batch
    ]
    by_batch: dict[UUID, dict[int, Verdict]] = {batch_id: {} for batch_id in small}
    for item_id, verdict in verdicts:
        if item_id.batch_id in by_batch:
            by_batch[item_id.batch_id][item_id.position] = verdict
    return {chunk.ended: by_batch.get(chunk.ended, NO_VERDICTS) for chunk in closed if chunk.ended}


def _publish_one_by_one(database: str, chunk_ids: Sequence[int]) -> str:
    """Publish each chunk alone, so that a failing one does not hold up the others."""
    try:
        publish_one_by_one(database, chunk_ids)
    except BrokerUnavailableError as fault:
        log_transient("chunks.left_to_relay", fault, database=database, chunks=chunk_ids)
    return "published one by one"
