"""Lock the items that a worker carries out next: the oldest open items of the keys in its chunk.

They include earlier items of other chunks. So the order for each key is strict, and no chunk waits for another one's
retry: the first worker that arrives carries out the earlier items, too.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from worker.ledger.model import ChunkRange, ItemId, spans


class OpenItem(NamedTuple):
    """One open item, read under its lock. ``content_size`` is set while its bytes are in the ledger."""

    batch_id: UUID
    position: int
    acceptance: int
    accepted_at: datetime
    kind: str
    key: int | None
    payload: dict[str, Any]
    blob_id: int | None
    content_size: int | None
    deaths: int
    caller: str
    cancelled: bool

    @property
    def item_id(self) -> ItemId:
        """Which item this is."""
        return ItemId(self.batch_id, self.position)


def is_superseded(item: OpenItem, changed: tuple[int, int]) -> bool:
    """Return whether ``item`` retries one that the change at ``changed`` (acceptance, position) has overtaken.

    A change by the same retry overtakes none of its items: they are in order among themselves.
    """
    if "retry_of" not in item.payload or item.payload.get("forced"):
        return False
    return changed[0] != item.acceptance and changed > tuple(item.payload["retry_of"])


def _batch_column(fact: str) -> str:
    # Most items are of the first chunk's own batch, which is looked up once for all of them.
    return f"""CASE WHEN i.batch_id = :batch_id THEN (SELECT {fact} FROM batch WHERE id = :batch_id)
                    ELSE (SELECT {fact} FROM batch WHERE id = i.batch_id) END"""  # noqa: S608  constants


_COLUMNS = f"""
    i.batch_id, i.position, i.acceptance, i.accepted_at, i.kind, i.key, i.payload, i.blob_id,
    octet_length(i.content) AS content_size, i.deaths,
    {_batch_column("caller")} AS caller, {_batch_column("cancel_requested_at IS NOT NULL")} AS cancelled
"""
# Every worker locks in the order (acceptance, position), so a deadlock is impossible.
# Items without a key are locked for their own chunk only.
# Statistics always lag behind a ledger that grows, so the statement leaves the planner no wrong choice: LATERAL with a
# LIMIT looks up each key in the index of open items (a join read all open items for each of 500 keys: 16 s instead of
# 25 ms), items are joined by their whole primary key, and batches are looked up one by one.
# "wanted" stays materialized: when a row that FOR UPDATE waited for has changed, PostgreSQL checks it again against the
# rest of the plan. A CTE scan gives that check the row it was joined with. An inlined union gives it all rows, and the
# first that does not fit ends the check: an open item was left out.
_LOCK_OPEN_ITEMS = text(f"""
    WITH own AS MATERIALIZED (
        SELECT i.batch_id, i.acceptance, i.position, i.key
        FROM unnest(CAST(:batch_ids AS uuid[]), CAST(:firsts AS int[]), CAST(:lasts AS int[]))
            AS held (batch_id, first, last), LATERAL (
            SELECT batch_id, acceptance, position, key FROM item
            WHERE item.batch_id = held.batch_id AND position BETWEEN held.first AND held.last AND outcome IS NULL
            OFFSET 0) AS i
    ), wanted AS MATERIALIZED (
        SELECT batch_id, position FROM own WHERE key IS NULL
        UNION ALL
        SELECT earlier.batch_id, earlier.position
        FROM (SELECT DISTINCT ON (key) key, acceptance, position FROM own WHERE key IS NOT NULL
              ORDER BY key, acceptance DESC, position DESC) AS latest, LATERAL (
            SELECT batch_id, position FROM item
            WHERE key = latest.key AND outcome IS NULL
              AND (acceptance, position) <= (latest.acceptance, latest.position)
            ORDER BY acceptance, position LIMIT :limit) AS earlier
    )
    SELECT {_COLUMNS}
    FROM wanted JOIN item AS i USING (batch_id, position)
    WHERE i.outcome IS NULL
    ORDER BY i.acceptance, i.position LIMIT :limit
    FOR UPDATE OF i
""")  # noqa: S608  the parts are constants of this module


def lock_open_items(session: Session, chunks: Sequence[ChunkRange], limit: int) -> list[OpenItem]:
    """Lock and return the oldest ``limit`` items that must be done before the chunks are, oldest first.

    Waits for items that are locked, and leaves out those that were settled meanwhile.
    Empty: nothing is left to do for these chunks.
    """
    rows = session.execute(_LOCK_OPEN_ITEMS, {**spans(chunks), "batch_id": chunks[0].batch_id, "limit": limit})
    return [OpenItem._make(row) for row in rows.all()]
