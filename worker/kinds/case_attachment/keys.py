"""Generate keys for new records: never one that a record or an open item holds."""

from sqlalchemy import text
from sqlalchemy.orm import Session

# OFFSET 0: open items are looked up key by key, whatever the statistics say (as in worker.ledger.open_items).
_GENERATE = text("""
    WITH candidate AS MATERIALIZED (SELECT nextval('case_attachment_key') AS key FROM generate_series(1, :count))
    SELECT key FROM candidate
    WHERE NOT EXISTS (SELECT FROM case_attachment AS r WHERE r.case_attachment_key = candidate.key)
      AND NOT EXISTS (SELECT FROM item WHERE item.key = candidate.key AND item.outcome IS NULL OFFSET 0)
""")
# To the end of the run of records that the generator stands in, found in the index.
_JUMP = text("""
    SELECT setval('case_attachment_key', coalesce((
        SELECT r.case_attachment_key FROM case_attachment AS r, (SELECT last_value FROM case_attachment_key) AS s
        WHERE EXISTS (SELECT FROM case_attachment AS h WHERE h.case_attachment_key = s.last_value)
          AND r.case_attachment_key >= s.last_value AND r.case_attachment_key < 2147483647
          AND NOT EXISTS (SELECT FROM case_attachment AS n WHERE n.case_attachment_key = r.case_attachment_key + 1)
        ORDER BY r.case_attachment_key LIMIT 1), (SELECT last_value FROM case_attachment_key)))
""")


def generate_keys(session: Session, count: int) -> list[int]:
    """Return ``count`` keys that no record and no open item holds now.

    A transaction that inserts one of them by name first wins; the item without a key is then applied again.
    """
    keys: list[int] = []
    look = count
    while len(keys) < count:
        found = list(session.scalars(_GENERATE, {"count": look}))
        if not found:
            session.execute(_JUMP)
            look = min(2 * look, 10_000)
        keys.extend(found)
    return keys[:count]
