"""Contents that wait in the ledger: read them, and let their items name the blobs once they are stored."""

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.orm import Session

from worker.blobs.lifecycle import StoredContent, adopt
from worker.blobs.write import PendingContent
from worker.ledger.model import ItemId

_READ_CONTENT = text("SELECT content FROM item WHERE batch_id = :batch_id AND position = :position AND outcome IS NULL")


def read_content(session: Session, item_id: ItemId) -> bytes | None:
    """Return the bytes that still wait in the ledger for this item; None once they are stored or it has ended."""
    content: bytes | None = session.scalars(_READ_CONTENT, item_id._asdict()).one_or_none()
    return content


def assign_blobs(
    session: Session, contents: Sequence[tuple[ItemId, PendingContent]], stored: Sequence[StoredContent]
) -> None:
    """Let open items name their blobs instead of carrying bytes: adopt what was stored, find the rest.

    ``contents`` come oldest item first. An item whose blob is gone again (the collector was faster) keeps its bytes,
    so it is stored once more.
    """
    known = [StoredContent("", *content.address) for _, content in contents]
    blob_ids = adopt(session, [*stored, *known])
    # Then the items, in the order in which they came: that in which every bite locks them.
    for item_id, content in contents:
        blob_id = blob_ids.get(content.address)
        if blob_id is not None:
            session.execute(_ASSIGN, {"blob_id": blob_id, **item_id._asdict()})


_ASSIGN = text("""
    UPDATE item SET blob_id = :blob_id, content = NULL
    WHERE batch_id = :batch_id AND position = :position AND outcome IS NULL
""")
