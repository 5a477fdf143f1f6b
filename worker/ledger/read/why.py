"""Explain why an item is not done: its attempts so far, and what it waits for."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from worker.ledger.read.report import ItemView


@dataclass(frozen=True, slots=True)
class ItemExplanation:
    """One item with its payload (never its content), its attempts, what it waits for, and its newest retry."""

    item: ItemView
    accepted_at: datetime
    payload: dict[str, Any]
    content_size: int | None
    deaths: int
    attempts: list[dict[str, Any]]
    waits_for: str | None
    retried_as: dict[str, Any] | None


_SELECT_ITEM = text("""
    SELECT i.position, i.kind, i.key, i.record_key, i.outcome, i.status, i.body, i.retry, i.errors,
           i.accepted_at, i.payload, coalesce(octet_length(i.content), b.size) AS content_size, i.deaths, i.batch_id,
           i.acceptance, c.state, c.history, c.attempts, c.started_at, c.worker, c.due_at, c.rings,
           c.due_at <= clock_timestamp() AS overdue, m.paused_at, m.rows_per_second,
           (SELECT cancel_requested_at IS NOT NULL FROM batch WHERE batch.id = i.batch_id) AS cancelled
    FROM item AS i JOIN chunk AS c ON c.batch_id = i.batch_id AND i.position BETWEEN c.first AND c.last
    LEFT JOIN blob AS b ON b.id = i.blob_id LEFT JOIN import AS m ON m.batch_id = i.batch_id
    WHERE i.batch_id = :batch_id AND i.position = :position
""")
_SELECT_EARLIER = text("""
    SELECT batch_id, position FROM item
    WHERE key = :key AND outcome IS NULL AND (acceptance, position) < (:acceptance, :position)
    ORDER BY acceptance, position LIMIT 1
""")
# A child's positions keep the order of its parent's items, so none is greater than its original's.
_SELECT_RETRY = text("""
    SELECT b.id AS batch, again.position, coalesce(again.outcome, 'pending') AS outcome
    FROM item AS i JOIN batch AS b ON b.parent_id = i.batch_id
    JOIN item AS again ON again.batch_id = b.id AND again.position <= i.position
    WHERE i.batch_id = :batch_id AND i.position = :position
      AND again.payload -> 'retry_of' = coalesce(i.payload -> 'retry_of', jsonb_build_array(i.acceptance, i.position))
    ORDER BY b.id DESC LIMIT 1
""")


def explain_item(session: Session, batch_id: UUID, position: int) -> ItemExplanation | None:
    """Return the explanation of one item, None if there is no such item."""
    row = session.execute(_SELECT_ITEM, {"batch_id": batch_id, "position": position}).one_or_none()
    if row is None:
        return None
    attempts = [attempt for attempt in row.history if _concerns_item(attempt, batch_id, position)]
    # The history has failed attempts only; an attempt that runs, or that settled the item, is added here.
    if row.state != "open" and row.started_at is not None:
        error = row.body if row.outcome == "failed" else None
        attempts.append({"at": row.started_at.isoformat(), "worker": row.worker, "error": error})
    return ItemExplanation(
        item=ItemView(*row[:9]),
        accepted_at=row.accepted_at,
        payload=row.payload,
        content_size=row.content_size,
        deaths=row.deaths,
        attempts=attempts,
        waits_for=None if row.outcome else _describe_wait(session, row._asdict()),
        retried_as=_find_retry(session, batch_id, position) if row.outcome == "failed" else None,
    )


def _find_retry(session: Session, batch_id: UUID, position: int) -> dict[str, Any] | None:
    """Return the item of the newest child batch that retries this one, and its outcome."""
    row = session.execute(_SELECT_RETRY, {"batch_id": batch_id, "position": position}).one_or_none()
    return None if row is None else row._asdict()


def _concerns_item(attempt: dict[str, Any], batch_id: UUID, position: int) -> bool:
    """Return whether a chunk's attempt concerns this item: one that ran another item alone does not."""
    suspect = attempt.get("position")
    return suspect is None or (suspect, attempt.get("batch", str(batch_id))) == (position, str(batch_id))


def _describe_wait(session: Session, facts: dict[str, Any]) -> str:
    due = facts["due_at"].isoformat(timespec="seconds")
    if facts["state"] == "taken":
        return _describe_worker(facts, due)
    if facts["cancelled"]:
        return f"its cancellation by the worker that has it; looked at again at {due}"
    if facts["paused_at"] is not None:
        return f"the import, which is paused since {facts['paused_at'].isoformat(timespec='seconds')}, to be resumed"
    if earlier := facts["key"] is not None and session.execute(_SELECT_EARLIER, facts).one_or_none():
        return f"position {earlier.position} of batch {earlier.batch_id}, an earlier item of the same record"
    return _describe_turn(facts, due)


def _describe_turn(facts: dict[str, Any], due: str) -> str:
    if facts["attempts"]:
        last = facts["history"][-1]["error"] if facts["history"] else "not known"
        return f"the next attempt, at {due}, after a pause since the last one failed: {last}"
    if facts["rows_per_second"] is not None and not facts["rings"]:
        return f"its turn at {due}: the import is held to {facts['rows_per_second']} rows a second"
    return f"a free worker; published again {facts['rings']} times so far, the next time at {due}"


def _describe_worker(facts: dict[str, Any], due: str) -> str:
    since = facts["started_at"].isoformat(timespec="seconds")
    if facts["overdue"]:
        return f"another worker: {facts['worker']} took it at {since} and gave no sign of life until {due}"
    return f"worker {facts['worker']}, which has it since {since}"
