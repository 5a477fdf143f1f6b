"""Retry: the failed items of a batch that may run again as they are, as a child batch, linked both ways.

Each child item remembers the place of the one it repeats, so that its handler
can leave it out when the record was changed by a later item since.
"""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from worker.ledger.accept import Accepted, Slot, append_chunks, new_batch_id
from worker.ledger.cut import even_cuts

_CHILD = text("""
    INSERT INTO batch (id, kind, caller, total, parent_id)
    SELECT :child, kind, :caller, :total, id FROM batch WHERE id = :parent
    RETURNING nextval('acceptance')
""")
_COPY = text("""
    INSERT INTO item (batch_id, position, acceptance, kind, key, payload, content, blob_id)
    SELECT :child, row_number() OVER (ORDER BY position) - 1, :acceptance, kind, key,
           CASE WHEN :force THEN payload - 'retry_of' ELSE payload || jsonb_build_object('retry_of',
               coalesce(payload -> 'retry_of', jsonb_build_array(acceptance, position))) END,
           content, blob_id
    FROM item WHERE batch_id = :parent AND outcome = 'failed' AND retry = 'as-is'
""")
_COUNT = text("SELECT count(*) FROM item WHERE batch_id = :parent AND outcome = 'failed' AND retry = 'as-is'")


@dataclass(frozen=True, slots=True)
class Retry:
    """What is asked for: whose failed items, by whom, and whether what was overtaken since runs all the same."""

    parent: UUID
    caller: str
    force: bool


def retry(session: Session, wanted: Retry) -> Accepted | None:
    """Append the child batch; None: the batch has no item that can be retried as it is."""
    # Two retries at once must not count the same items apart: the parent's row is theirs in turn.
    session.execute(text("SELECT FROM batch WHERE id = :parent FOR UPDATE"), {"parent": wanted.parent})
    total = session.scalar(_COUNT, {"parent": wanted.parent}) or 0
    if not total:
        return None
    child = new_batch_id()
    place = {"child": child, "parent": wanted.parent}
    acceptance = session.scalar(_CHILD, {**place, "caller": wanted.caller, "total": total})
    assert acceptance is not None
    session.execute(_COPY, {**place, "acceptance": acceptance, "force": wanted.force})
    return Accepted(child, append_chunks(session, Slot(child, acceptance), even_cuts(total)))
