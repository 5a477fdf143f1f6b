"""Turns: what is appended for the files of one item is appended one after another."""

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.orm import Session

from schemas.kinds import FILE_KINDS
from worker.ledger.accept import NewItem

_TURN = text("SELECT pg_advisory_xact_lock(:space, hashint8(:key))")
_SPACE = 0x11_33_9E  # any fixed number; the locks of one bigint are others


def await_turn(session: Session, items: Sequence[NewItem]) -> None:
    """Let batches for the files of one item be accepted one by one, so that none commits after a later number.

    One that did would be carried out in its proper place by nobody: what came after it may be done by then. A record
    of family A notices that by its key; a file has none.
    """
    for key in sorted({item.key for item in items if item.key is not None and item.kind in FILE_KINDS}):
        session.execute(_TURN, {"space": _SPACE, "key": key})
