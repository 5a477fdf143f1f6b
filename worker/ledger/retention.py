"""Retention: delete batches that ended long ago, by their end and never by their age.

Records and their contents stay; the batch goes with its items, chunks, attempts and, for an import, its name. Two
processes may run it at once: each skips the batches that the other has locked.
"""

from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

from worker.database import count_changed

_MAX_BATCHES, _MAX_ITEMS = 200, 5000  # in one transaction

# A batch ends after it was accepted, so the index on accepted_at finds the expired ones among few others. A parent
# stays as long as its children. A child stays as long as its parent can be retried, since it tells which items were
# retried. A batch that deleted records stays as long as any batch that began before its end: items of that one may be
# retried, and only the ledger shows that a deletion has overtaken them.
_LOCK_EXPIRED = text("""
    WITH old AS (
        SELECT b.id, b.accepted_at, b.finished_at,
               b.finished_at < now() - :age AND (p.id IS NULL OR p.finished_at < now() - :age)
                   AND NOT EXISTS (SELECT FROM batch AS k WHERE k.parent_id = b.id) AS may_go
        FROM batch AS b LEFT JOIN batch AS p ON p.id = b.parent_id WHERE b.accepted_at < now() - :age
    ), staying AS (
        SELECT coalesce(min(accepted_at), 'infinity') AS since FROM old WHERE may_go IS NOT TRUE
    )
    SELECT b.id FROM old JOIN batch AS b USING (id), staying
    WHERE old.may_go AND (old.finished_at < staying.since
                          OR NOT EXISTS (SELECT FROM chunk AS c WHERE c.batch_id = old.id AND c.deleted > 0))
    ORDER BY old.accepted_at LIMIT :limit FOR UPDATE OF b SKIP LOCKED
""")
# A retry between the snapshot and the lock may have made one of them a parent.
_SELECT_PARENTS = text("SELECT parent_id FROM batch WHERE parent_id = ANY(:ids)")
# A batch that is being deleted answers no repeated request: its idempotency key is free for a new one.
_RELEASE_KEYS = text("""
    UPDATE batch SET idempotency_key = NULL, request_sha256 = NULL WHERE id = ANY(:ids) AND idempotency_key IS NOT NULL
""")
_DELETE_ITEMS = text("""
    DELETE FROM item WHERE (batch_id, position) IN (
        SELECT batch_id, position FROM item WHERE batch_id = ANY(:ids) ORDER BY batch_id, position LIMIT :limit)
""")
_DELETE_BATCHES = text("""
    DELETE FROM batch WHERE id = ANY(:ids) AND NOT EXISTS (SELECT FROM item WHERE item.batch_id = batch.id)
""")


def expire_batches(session: Session, age: timedelta) -> tuple[int, bool]:
    """Delete some batches that ended more than ``age`` ago; return how many, and whether there may be more.

    A batch with more items than one transaction deletes loses them from the first on, and goes with the last.
    """
    locked = list(session.scalars(_LOCK_EXPIRED, {"age": age, "limit": _MAX_BATCHES}))
    if not locked:
        return 0, False
    parents = set(session.scalars(_SELECT_PARENTS, {"ids": locked}))
    ids = [batch_id for batch_id in locked if batch_id not in parents]
    session.execute(_RELEASE_KEYS, {"ids": ids})
    session.execute(_DELETE_ITEMS, {"ids": ids, "limit": _MAX_ITEMS})
    return count_changed(session, _DELETE_BATCHES, {"ids": ids}), True
