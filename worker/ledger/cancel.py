"""Cancel a batch: the transition to cancelled, and the settling of items that have not started.

The request is stored in the ledger, so it survives restarts. A worker reads it with each item that it locks.
"""

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from worker.ledger import completion
from worker.ledger.model import ItemId
from worker.verdicts import CANCELLED

# All transactions that lock both lock the batch before its import.
_REQUEST_CANCEL = text("""
    WITH asked AS (
        UPDATE batch SET cancel_requested_at = clock_timestamp()
        WHERE id = :batch_id AND finished_at IS NULL AND cancel_requested_at IS NULL
        RETURNING id, cancel_requested_at
    ), closed AS (
        UPDATE import SET closed_at = coalesce(closed_at, clock_timestamp()), paused_at = NULL
        FROM asked WHERE import.batch_id = asked.id
    ), ended AS (
        UPDATE loader SET due_at = NULL FROM asked WHERE loader.batch_id = asked.id
    )
    SELECT cancel_requested_at FROM asked
""")


def request_cancel(session: Session, batch_id: UUID) -> bool:
    """Note that the batch is to be cancelled, and close its import. False: it has ended, or this was noted before."""
    return session.scalars(_REQUEST_CANCEL, {"batch_id": batch_id}).one_or_none() is not None


_MAX_ITEMS = 5000
# A locked item has started, in its own chunk or for another; its worker sees the cancellation or finishes the item.
_LOCK_OPEN_ITEMS = text("""
    SELECT position FROM item WHERE batch_id = :batch_id AND outcome IS NULL
    ORDER BY position LIMIT :limit FOR UPDATE SKIP LOCKED
""")
_LOCK_SETTLED_CHUNKS = text("""
    SELECT id FROM chunk WHERE batch_id = :batch_id AND state <> 'done' AND NOT EXISTS (
        SELECT FROM item WHERE item.batch_id = chunk.batch_id AND item.position BETWEEN chunk.first AND chunk.last
          AND item.outcome IS NULL)
    FOR UPDATE SKIP LOCKED
""")


def settle_cancelled(session: Session, batch_id: UUID) -> int:
    """Settle up to 5,000 open items that no worker has locked as cancelled, close their chunks; return how many."""
    positions = list(session.scalars(_LOCK_OPEN_ITEMS, {"batch_id": batch_id, "limit": _MAX_ITEMS}))
    if positions:
        completion.settle(session, [(ItemId(batch_id, position), CANCELLED) for position in positions])
    chunk_ids = list(session.scalars(_LOCK_SETTLED_CHUNKS, {"batch_id": batch_id}))
    if chunk_ids:
        completion.close(session, chunk_ids)
    return len(positions)
