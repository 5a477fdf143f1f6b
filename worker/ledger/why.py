"""Why is an item not done? What happened to it so far, and what it waits for."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from worker.ledger.report import ItemView


@dataclass(frozen=True, slots=True)
class ItemStory:
    """One item with its payload (never its content), the attempts at it, and what it waits for."""

    item: ItemView
    accepted_at: datetime
    payload: dict[str, Any]
    content_size: int | None
    deaths: int
    attempts: list[dict[str, Any]]
    waits_for: str | None


_STORY = text("""
    SELECT i.position, i.kind, i.key, i.record_key, i.outcome, i.status, i.body, i.retry, i.errors,
           i.accepted_at, i.payload, coalesce(octet_length(i.content), b.size) AS content_size, i.deaths,
           i.acceptance, c.state, c.history, c.attempts, c.started_at, c.worker, c.due_at, c.rings
    FROM item AS i JOIN chunk AS c ON c.batch_id = i.batch_id AND i.position BETWEEN c.first AND c.last
    LEFT JOIN blob AS b ON b.id = i.blob_id
    WHERE i.batch_id = :batch_id AND i.position = :position
""")
_EARLIER = text("""
    SELECT batch_id, position FROM item
    WHERE key = :key AND outcome IS NULL AND (acceptance, position) < (:acceptance, :position)
    ORDER BY acceptance, position LIMIT 1
""")


def story(session: Session, batch_id: UUID, position: int) -> ItemStory | None:
    """Return the story of one item, None if there is no such item."""
    row = session.execute(_STORY, {"batch_id": batch_id, "position": position}).one_or_none()
    if row is None:
        return None
    attempts = list(row.history)
    # What is in the history has failed; an attempt that runs, or that did it, is not there.
    if row.state != "open" and row.started_at is not None:
        attempts.append({"at": row.started_at.isoformat(), "worker": row.worker, "error": None})
    return ItemStory(
        item=ItemView(*row[:9]),
        accepted_at=row.accepted_at,
        payload=row.payload,
        content_size=row.content_size,
        deaths=row.deaths,
        attempts=attempts,
        waits_for=None if row.outcome else _waits_for(session, row._asdict()),
    )


def _waits_for(session: Session, facts: dict[str, Any]) -> str:
    earlier = facts["key"] is not None and session.execute(_EARLIER, facts).one_or_none()
    if earlier:
        return f"position {earlier.position} of batch {earlier.batch_id}, an earlier item of the same record"
    if facts["state"] == "taken":
        return f"worker {facts['worker']}, which has it since {facts['started_at'].isoformat()}"
    if facts["attempts"]:
        return f"the next attempt, at {facts['due_at'].isoformat()}; the last attempt's error says why"
    return f"a free worker; rung again {facts['rings']} times, the next time at {facts['due_at'].isoformat()}"
