"""Retry a batch: append its failed items that may run again as they are, as a child batch.

Each child item stores the acceptance and position of the item that it retries, so that its handler can skip it when a
later item has changed the record since.
"""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from schemas.kinds import KINDS
from worker.database import count_changed
from worker.errors import LimpetError
from worker.ledger.append import append_chunks
from worker.ledger.chunking import divide_evenly
from worker.ledger.model import BULK_QUEUE, Accepted, AppendTarget
from worker.ledger.ordering import serialize_all_appends
from worker.ledger.uuid7 import new_batch_id
from worker.settings import settings


class ForgottenError(LimpetError):
    """The batch ended so long ago that retention may have deleted some of its items."""


# An item is left out if a child of the same batch retries it, and that retry has not failed or been cancelled.
_COPY_FAILED_ITEMS = text("""
    INSERT INTO item (batch_id, position, acceptance, kind, key, payload, content, blob_id)
    SELECT :child, row_number() OVER (ORDER BY i.position) - 1, :acceptance, i.kind, i.key,
           i.payload || jsonb_build_object('retry_of', origin, 'forced', CAST(:force AS boolean)), i.content, i.blob_id
    FROM item AS i, LATERAL (SELECT coalesce(i.payload -> 'retry_of', jsonb_build_array(i.acceptance, i.position))
                             AS origin) AS o
    WHERE i.batch_id = :parent AND i.outcome = 'failed' AND i.retry = 'as-is'
      AND (:force OR NOT EXISTS (
            SELECT FROM batch AS b JOIN item AS again ON again.batch_id = b.id
            WHERE b.parent_id = :parent AND again.payload -> 'retry_of' = origin
              AND (again.outcome IS NULL OR again.outcome NOT IN ('failed', 'cancelled'))))
""")
_LOCK_PARENT = text("SELECT finished_at < now() - CAST(:age AS interval) FROM batch WHERE id = :parent FOR UPDATE")
# A batch is of one record type, and retention deletes its first item first.
_SELECT_KIND = text("SELECT kind FROM item WHERE batch_id = :parent AND position = 0")
_SELECT_IMPORT = text("SELECT rows_per_second, now() AS start FROM import WHERE batch_id = :parent")
_INSERT_CHILD = text("""
    INSERT INTO batch (id, kind, caller, total, parent_id)
    SELECT :child, kind, :caller, :total, id FROM batch WHERE id = :parent
""")


@dataclass(frozen=True, slots=True)
class RetryRequest:
    """The batch to retry, the caller, and with ``force`` whether overtaken and already retried items run, too."""

    parent: UUID
    caller: str
    force: bool


def retry(session: Session, request: RetryRequest) -> Accepted | None:
    """Append the child batch; None: the batch has no item that can be retried as it is.

    Raises:
        ForgottenError: the batch ended longer ago than batches are kept.

    """
    days = settings().keep_batches
    # The lock on the parent serializes retries: two at once must not retry the same items.
    if session.scalar(_LOCK_PARENT, {"parent": request.parent, "age": timedelta(days=days) if days else None}):
        raise ForgottenError(f"the batch ended more than {days} days ago")
    kind = session.scalar(_SELECT_KIND, {"parent": request.parent})
    if kind is None:
        return None
    if KINDS[kind].ordered_by == "collection":
        serialize_all_appends(session)  # while the parent runs, items of any collection may fail
    child = new_batch_id()
    acceptance: int = session.scalars(text("SELECT nextval('acceptance')")).one()
    ids = {"child": child, "parent": request.parent}
    # Copied first, then counted: while the parent runs, more of its items may fail at any moment.
    total = count_changed(session, _COPY_FAILED_ITEMS, {**ids, "acceptance": acceptance, "force": request.force})
    if not total:
        return None
    session.execute(_INSERT_CHILD, {**ids, "caller": request.caller, "total": total})
    return Accepted(
        child, append_chunks(session, _append_target(session, request.parent, child, acceptance), divide_evenly(total))
    )


def _append_target(session: Session, parent: UUID, child: UUID, acceptance: int) -> AppendTarget:
    """Return where the child's items go: for an import, to the bulk queue again and at the import's rate."""
    pace = session.execute(_SELECT_IMPORT, {"parent": parent}).one_or_none()
    if pace is None:
        return AppendTarget(child, acceptance)
    return AppendTarget(child, acceptance, queue=BULK_QUEUE, rate=pace.rows_per_second, start=pace.start)
