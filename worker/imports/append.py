"""Append rows to an import by offset, so a part that is sent twice is appended once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from schemas.imports import OnConflict, OpenImport
from worker.errors import LimpetError
from worker.ledger.append import append_chunks, copy_items
from worker.ledger.chunking import divide
from worker.ledger.model import BULK_QUEUE, AppendTarget, ChunkMessage, NewItem
from worker.ledger.ordering import serialize_appends
from worker.ledger.uuid7 import new_batch_id
from worker.settings import settings


class NotAppendableError(LimpetError):
    """The import takes no rows, or none at that offset; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class ImportView:
    """The state of an import; ``next_row`` is the number of rows appended."""

    batch_id: UUID
    kind: str
    caller: str
    name: str
    fingerprint: str
    on_conflict: OnConflict
    rows_per_second: int | None
    next_row: int
    closed_at: datetime | None
    paused_at: datetime | None
    paced_until: datetime | None
    error: str | None
    accepted_at: datetime
    finished_at: datetime | None
    cancelled: bool
    manifest: str | None

    @property
    def state(self) -> str:
        """``open``, ``closed`` (rows still run), ``cancelled`` or ``finished``."""
        if self.cancelled:
            return "cancelled"
        if self.finished_at is not None:
            return "finished"
        return "open" if self.closed_at is None else "closed"


_OPEN = text("""
    WITH new AS (INSERT INTO batch (id, kind, caller, total) VALUES (:batch_id, :kind, :caller, 0) RETURNING id)
    INSERT INTO import (batch_id, name, fingerprint, on_conflict, rows_per_second)
    SELECT id, :name, :fingerprint, :on_conflict, :rows_per_second FROM new
""")


def open_import(session: Session, kind: str, caller: str, wanted: OpenImport) -> UUID:
    """Insert an import without rows, and its batch of ``kind``; return the batch id."""
    batch_id = new_batch_id()
    options = wanted.model_dump(include={"name", "fingerprint", "on_conflict", "rows_per_second"})
    session.execute(_OPEN, {"batch_id": batch_id, "kind": kind, "caller": caller, **options})
    return batch_id


_SELECT = """
    SELECT b.id, b.kind, b.caller, i.name, i.fingerprint, i.on_conflict, i.rows_per_second, b.total, i.closed_at,
           i.paused_at, i.paced_until, i.error, b.accepted_at, b.finished_at, b.cancel_requested_at IS NOT NULL,
           l.manifest
    FROM import AS i JOIN batch AS b ON b.id = i.batch_id LEFT JOIN loader AS l ON l.batch_id = i.batch_id
"""
_VIEW = text(f"{_SELECT} WHERE i.batch_id = :batch_id")
_LOCKED = text(f"{_SELECT} WHERE i.batch_id = :batch_id FOR NO KEY UPDATE OF b")
_LATEST = text(f"{_SELECT} WHERE i.name = :name AND b.caller = :caller ORDER BY b.id DESC LIMIT 1")


def read_import(session: Session, batch_id: UUID) -> ImportView | None:
    """Return the import, None if this database has no import of that id."""
    row = session.execute(_VIEW, {"batch_id": batch_id}).one_or_none()
    return None if row is None else ImportView(*row)


def find_latest(session: Session, caller: str, name: str) -> ImportView | None:
    """Return the newest import of that name, and lock the name until the end of the transaction."""
    session.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": f"import {caller} {name}"}
    )
    row = session.execute(_LATEST, {"caller": caller, "name": name}).one_or_none()
    return None if row is None else ImportView(*row)


def lock_import(session: Session, batch_id: UUID, first: int) -> ImportView:
    """Lock the import for rows from ``first`` on and return it; it already has the rows before its ``next_row``.

    Raises:
        NotAppendableError: the import is closed or unknown, or rows before ``first`` are missing.

    """
    row = session.execute(_LOCKED, {"batch_id": batch_id}).one_or_none()
    if row is None:
        raise NotAppendableError(f"there is no import {batch_id}")
    found = ImportView(*row)
    if found.closed_at is not None:
        what = "cancelled" if found.cancelled else "closed"
        raise NotAppendableError(f"the import is {what} and takes no more rows")
    if first > found.next_row:
        raise NotAppendableError(f"rows from {found.next_row} on are expected, and these begin at {first}")
    return found


_GROW = text("UPDATE batch SET total = total + :count WHERE id = :batch_id RETURNING nextval('acceptance')")
_PACE = text("""
    UPDATE import SET paced_until = greatest(paced_until, now()) + interval '1 second' * :count / rows_per_second
    WHERE batch_id = :batch_id
    RETURNING paced_until - interval '1 second' * :count / rows_per_second
""")


def append_rows(session: Session, to: ImportView, items: Sequence[NewItem]) -> list[ChunkMessage]:
    """Append ``items`` to the import that `lock_import` returned, after its last row."""
    if not items:
        return []
    serialize_appends(session, items)
    count = {"batch_id": to.batch_id, "count": len(items)}
    acceptance = session.scalar(_GROW, count)
    assert acceptance is not None
    start = session.scalar(_PACE, count) if to.rows_per_second else None
    target = AppendTarget(to.batch_id, acceptance, to.next_row, BULK_QUEUE, to.rows_per_second, start)
    max_items = min(settings().chunk_items, to.rows_per_second or settings().chunk_items)
    messages = append_chunks(session, target, divide(items, max_items))
    copy_items(session, target, items)
    return messages


_AHEAD = text("""
    SELECT count(*) FROM (SELECT FROM chunk WHERE batch_id = :batch_id AND state <> 'done' LIMIT :limit) AS open
""")


def count_chunks_ahead(session: Session, batch_id: UUID, limit: int) -> int:
    """Return how many chunks are not done, ``limit`` at most."""
    return session.scalar(_AHEAD, {"batch_id": batch_id, "limit": limit}) or 0
