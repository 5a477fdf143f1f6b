"""Serialize appends to one file collection, so that the order of acceptance is the order of commits."""

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.orm import Session

from schemas.kinds import KINDS
from worker.ledger.model import NewItem

# Locked in ascending order, so a deadlock is impossible; few enough that no append fills the server's lock table.
_LOCK_SLOTS = text("SELECT pg_advisory_xact_lock(:space, slot) FROM unnest(CAST(:slots AS int[])) AS slot")
_LOCK_SPACE = 0x11_33_9E  # any fixed number; PostgreSQL keeps locks of one bigint apart from these
_SLOT_COUNT = 4096


def serialize_appends(session: Session, items: Sequence[NewItem]) -> None:
    """Serialize appends to the file collections of ``items``, so that none commits after one with a later number.

    Such an item could not be carried out in its place: the later one may be done by then. A case attachment detects
    that by its key; a file has none.
    """
    slots = {
        item.key % _SLOT_COUNT for item in items if item.key is not None and KINDS[item.kind].ordered_by == "collection"
    }
    if slots:
        session.execute(_LOCK_SLOTS, {"space": _LOCK_SPACE, "slots": sorted(slots)})


def serialize_all_appends(session: Session) -> None:
    """Block other appends for files until this transaction ends, for a caller that does not know its collections."""
    session.execute(_LOCK_SLOTS, {"space": _LOCK_SPACE, "slots": list(range(_SLOT_COUNT))})
