"""The transitions of imports, each a guarded statement; those of an import lock its batch first.

import   open ──close──► closed        open or closed ──pause──► paused ──resume──►
loader   due ──step──► due ... ──close──► done
"""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from worker.database import count_changed
from worker.ledger.claims import PUBLISH_BACKOFF

_LOCK = text("SELECT FROM batch WHERE id = :batch_id FOR NO KEY UPDATE")
_CLOSE = text("""
    WITH closed AS (
        UPDATE import SET closed_at = clock_timestamp(), error = :error
        WHERE batch_id = :batch_id AND closed_at IS NULL
        RETURNING batch_id
    )
    UPDATE loader SET due_at = NULL FROM closed WHERE loader.batch_id = closed.batch_id
""")


def close_import(session: Session, batch_id: UUID, error: str | None = None) -> None:
    """Open → closed: no row follows. ``error`` says why it closes early. A closed import stays as it is."""
    session.execute(_LOCK, {"batch_id": batch_id})
    session.execute(_CLOSE, {"batch_id": batch_id, "error": error})


# A paused import stays open for as long as the pause lasts.
_OPEN_LONG = text("""
    SELECT b.id FROM import AS i JOIN batch AS b ON b.id = i.batch_id
    WHERE b.finished_at IS NULL AND b.accepted_at < now() - :age AND i.closed_at IS NULL AND i.paused_at IS NULL
    FOR NO KEY UPDATE OF b SKIP LOCKED
""")
_IDLE = text("""
    SELECT id FROM batch AS b
    WHERE id = ANY(:ids) AND NOT EXISTS (SELECT FROM chunk AS c WHERE c.batch_id = b.id AND c.state <> 'done')
      AND greatest(b.accepted_at, (SELECT max(started_at) FROM chunk AS c WHERE c.batch_id = b.id),
                   (SELECT accepted_at FROM item AS i WHERE i.batch_id = b.id ORDER BY position DESC LIMIT 1))
          < now() - :age
""")


def close_idle(session: Session, age: timedelta, error: str) -> list[UUID]:
    """Open → closed, with ``error``, if no row came and none ran for ``age``; return the closed imports."""
    batch_ids = list(session.scalars(_OPEN_LONG, {"age": age}))
    # A second statement sees the rows that were committed before the locks.
    idle = list(session.scalars(_IDLE, {"ids": batch_ids, "age": age}))
    for batch_id in idle:
        session.execute(_CLOSE, {"batch_id": batch_id, "error": error})
    return idle


_PAUSE = text("""
    UPDATE import SET paused_at = clock_timestamp()
    FROM batch AS b
    WHERE b.id = import.batch_id AND batch_id = :batch_id AND paused_at IS NULL AND b.finished_at IS NULL
""")


def pause(session: Session, batch_id: UUID) -> bool:
    """Open or closed → paused: no chunk is claimed. False: it is paused already, or has ended."""
    session.execute(_LOCK, {"batch_id": batch_id})
    return count_changed(session, _PAUSE, {"batch_id": batch_id}) == 1


_RESUME = text("UPDATE import SET paused_at = NULL WHERE batch_id = :batch_id AND paused_at IS NOT NULL")
# Open chunks are due at once, or from now on at the import's pace.
# A locked chunk is running, and is due again by itself if that fails. Waiting for it here, with the batch locked,
# could deadlock.
_DUE_AGAIN = text("""
    UPDATE chunk SET rings = 0, due_at = clock_timestamp() + CASE
        WHEN i.rows_per_second IS NULL THEN interval '0'
        ELSE interval '1 second' * (chunk.first - waiting.first) / i.rows_per_second END
    FROM import AS i, (SELECT min(first) AS first FROM chunk WHERE batch_id = :batch_id AND state = 'open') AS waiting
    WHERE i.batch_id = :batch_id
      AND chunk.id IN (SELECT id FROM chunk WHERE batch_id = :batch_id AND state = 'open' FOR UPDATE SKIP LOCKED)
""")
_PACED_AGAIN = text("""
    UPDATE import SET paced_until = (SELECT max(due_at + interval '1 second' * (last - first + 1) / rows_per_second)
                                     FROM chunk WHERE chunk.batch_id = import.batch_id)
    WHERE batch_id = :batch_id AND rows_per_second IS NOT NULL
""")
_LOAD_AGAIN = text("""
    UPDATE loader SET rings = 0, due_at = clock_timestamp() WHERE batch_id = :batch_id AND due_at IS NOT NULL
""")


def resume(session: Session, batch_id: UUID) -> bool:
    """Paused → open or closed: chunks are claimed again. False: it is not paused."""
    values = {"batch_id": batch_id}
    session.execute(_LOCK, values)
    if count_changed(session, _RESUME, values) == 0:
        return False
    for statement in (_DUE_AGAIN, _PACED_AGAIN, _LOAD_AGAIN):
        session.execute(statement, values)
    return True


_TAKE_LOADERS = text(f"""
    UPDATE loader SET rings = least(rings + 1, 1000), due_at = clock_timestamp() + {PUBLISH_BACKOFF}
    WHERE batch_id IN (SELECT l.batch_id FROM loader AS l JOIN import AS i ON i.batch_id = l.batch_id
                       WHERE l.due_at <= clock_timestamp() AND i.paused_at IS NULL AND i.closed_at IS NULL
                       ORDER BY l.due_at LIMIT :limit FOR UPDATE OF l SKIP LOCKED)
    RETURNING batch_id
""")  # noqa: S608  constants


def take_due_loaders(session: Session, first: timedelta, limit: int) -> list[UUID]:
    """Return imports with a due step; each is due again after a pause that doubles from ``first`` to a minute."""
    return list(session.scalars(_TAKE_LOADERS, {"first": first, "limit": limit}))


_STEP = text("""
    UPDATE loader SET byte_offset = :byte_offset, line = :line, due_at = clock_timestamp() + :lease, rings = 0,
        failures = 0
    WHERE batch_id = :batch_id AND due_at IS NOT NULL
""")


_RENEW = text("UPDATE loader SET due_at = clock_timestamp() + :lease WHERE batch_id = :batch_id AND due_at IS NOT NULL")


def renew_step(session: Session, batch_id: UUID, lease: timedelta) -> None:
    """Due → due after ``lease``, the cursor unchanged: its worker is alive."""
    session.execute(_RENEW, {"batch_id": batch_id, "lease": lease})


def advance_loader(session: Session, batch_id: UUID, byte_offset: int, line: int, lease: timedelta) -> bool:
    """Due → due after ``lease``, the cursor moved, in the transaction that appends. False: the loader is done."""
    values = {"batch_id": batch_id, "byte_offset": byte_offset, "line": line, "lease": lease}
    return count_changed(session, _STEP, values) == 1


_FAIL_STEP = text("""
    UPDATE loader SET failures = failures + 1, rings = 0, due_at = clock_timestamp() + :first * power(2, failures)
    WHERE batch_id = :batch_id AND due_at IS NOT NULL
    RETURNING failures
""")


def count_failure(session: Session, batch_id: UUID, first: timedelta) -> int:
    """Due → due again after a pause that doubles; return how many steps failed since the last success."""
    return session.scalars(_FAIL_STEP, {"batch_id": batch_id, "first": first}).one_or_none() or 0
