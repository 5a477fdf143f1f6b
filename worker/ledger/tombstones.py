"""Find deletions in the ledger: a deleted record has no row that names the item which changed it last."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from worker.ledger.open_items import OpenItem


class Deletion(NamedTuple):
    """An item that deleted records of ``key``; ``order`` is its acceptance number and position."""

    key: int
    order: tuple[int, int]
    payload: dict[str, Any]


def oldest_retried(items: Sequence[OpenItem]) -> dict[int, int]:
    """Return, for each key of retried items, the acceptance number of the oldest original item."""
    oldest: dict[int, int] = {}
    for item in items:
        if item.key is not None and "retry_of" in item.payload:
            since = item.payload["retry_of"][0]
            oldest[item.key] = min(since, oldest.get(item.key, since))
    return oldest


# Reads only the few chunks that deleted records or are not done.
_SELECT_DELETIONS = text("""
    SELECT i.key, i.acceptance, i.position, i.payload
    FROM chunk AS c JOIN item AS i ON i.batch_id = c.batch_id AND i.position BETWEEN c.first AND c.last
    WHERE c.acceptance >= :since AND (c.deleted > 0 OR c.state <> 'done')
      AND i.outcome = 'deleted' AND i.key = ANY(:keys)
    ORDER BY i.acceptance, i.position
""")


def find_deletions(session: Session, retries: Mapping[int, int]) -> list[Deletion]:
    """Return the deletions, oldest first, of the keys in ``retries`` since the oldest acceptance number there."""
    if not retries:
        return []
    rows = session.execute(_SELECT_DELETIONS, {"since": min(retries.values()), "keys": list(retries)})
    return [Deletion(row.key, (row.acceptance, row.position), row.payload) for row in rows]
