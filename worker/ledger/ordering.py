"""Turns: what is appended for the files of one item is appended one after another."""

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.orm import Session

from schemas.kinds import KINDS
from worker.ledger.model import NewItem

# In the order of their numbers, so that none can wait in a circle; so few that no append fills the server's lock table.
_LOCK_SLOTS = text("SELECT pg_advisory_xact_lock(:space, slot) FROM unnest(CAST(:slots AS int[])) AS slot")
_LOCK_SPACE = 0x11_33_9E  # any fixed number; the locks of one bigint are others
_SLOT_COUNT = 4096


def serialize_appends(session: Session, items: Sequence[NewItem]) -> None:
    """Let batches for the files of one item be accepted one by one, so that none commits after a later number.

    One that did would be carried out in its proper place by nobody: what came after it may be done by then. A record
    of family A notices that by its key; a file has none.
    """
    slots = {
        item.key % _SLOT_COUNT for item in items if item.key is not None and KINDS[item.kind].ordered_by == "collection"
    }
    if slots:
        session.execute(_LOCK_SLOTS, {"space": _LOCK_SPACE, "slots": sorted(slots)})


def serialize_all_appends(session: Session) -> None:
    """Let no other batch for files be accepted before this transaction ends; for who can't tell whose turn it needs."""
    session.execute(_LOCK_SLOTS, {"space": _LOCK_SPACE, "slots": list(range(_SLOT_COUNT))})
