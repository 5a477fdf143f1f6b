"""Inline contents: read the bytes from the ledger, and replace them by blobs once they are stored."""

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.orm import Session

from worker.blobs.lifecycle import StoredContent, adopt
from worker.blobs.write import PendingContent
from worker.ledger.model import ItemId

_READ_CONTENT = text("SELECT content FROM item WHERE batch_id = :batch_id AND position = :position AND outcome IS NULL")


def read_content(session: Session, item_id: ItemId) -> bytes | None:
    """Return the item's bytes in the ledger; None if they are stored, or the item has ended."""
    content: bytes | None = session.scalars(_READ_CONTENT, item_id._asdict()).one_or_none()
    return content


def assign_blobs(
    session: Session, contents: Sequence[tuple[ItemId, PendingContent]], stored: Sequence[StoredContent]
) -> None:
    """Replace the bytes of open items by blobs: adopt the contents in ``stored``, find the blobs of the others.

    ``contents`` come oldest item first. An item whose blob the collector has removed meanwhile keeps its bytes, and the
    caller stores them again.
    """
    known = [StoredContent("", *content.address) for _, content in contents]
    blob_ids = adopt(session, [*stored, *known])
    # Oldest item first: the order in which `lock_open_items` locks them.
    for item_id, content in contents:
        blob_id = blob_ids.get(content.address)
        if blob_id is not None:
            session.execute(_ASSIGN, {"blob_id": blob_id, **item_id._asdict()})


_ASSIGN = text("""
    UPDATE item SET blob_id = :blob_id, content = NULL
    WHERE batch_id = :batch_id AND position = :position AND outcome IS NULL
""")
