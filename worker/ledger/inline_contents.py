"""Contents that wait in the ledger: read them, and let their items name the blobs once they are stored."""

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.orm import Session

from worker.blobs.lifecycle import Stored, adopt, find_blob
from worker.blobs.write import Content
from worker.ledger.model import Place

_CONTENT = text("SELECT content FROM item WHERE batch_id = :batch_id AND position = :position AND outcome IS NULL")


def content_of(session: Session, place: Place) -> bytes | None:
    """Return the bytes that still wait in the ledger for this item; None once they are stored or it has ended."""
    content: bytes | None = session.scalars(_CONTENT, place._asdict()).one_or_none()
    return content


def assign(session: Session, contents: Sequence[tuple[Place, Content]], stored: Sequence[Stored]) -> None:
    """Let open items name their blobs instead of carrying bytes: adopt what was stored, find the rest.

    ``contents`` come oldest item first. An item whose blob is gone again (the collector was faster) keeps its bytes,
    so it is stored once more.
    """
    fresh = {(s.sha256, s.size): s for s in stored}
    named: dict[tuple[bytes, int], int | None] = {}
    # One order for all, because adopting locks.
    for content in sorted((content for _, content in contents), key=lambda c: c.sha256):
        which = (content.sha256, len(content.data))
        if which not in named:
            ours = fresh.get(which)
            named[which] = adopt(session, ours) if ours else find_blob(session, *which)
    # Then the items, in the order in which they came: that in which every bite locks them.
    for place, content in contents:
        blob_id = named[content.sha256, len(content.data)]
        if blob_id is not None:
            session.execute(_ASSIGN, {"blob_id": blob_id, **place._asdict()})


_ASSIGN = text("""
    UPDATE item SET blob_id = :blob_id, content = NULL
    WHERE batch_id = :batch_id AND position = :position AND outcome IS NULL
""")
