"""Read batches, and how their items ended."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from worker.verdicts import OUTCOMES


@dataclass(frozen=True, slots=True)
class BatchView:
    """The state of a batch. ``counts`` has every outcome that occurs, and ``pending`` for open items.

    For an import, ``paused_at`` is when it was paused, and ``error`` why it ended before its manifest did.
    """

    id: UUID
    kind: str
    caller: str
    total: int
    accepted_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    cancel_requested_at: datetime | None
    parent_id: UUID | None
    children: list[UUID]
    counts: dict[str, int]
    paused_at: datetime | None = None
    error: str | None = None

    @property
    def state(self) -> str:
        """accepted, running, finished or cancelled."""
        if self.finished_at is not None:
            return "cancelled" if self.cancel_requested_at else "finished"
        return "running" if self.started_at else "accepted"


# An item counts once its chunk is done, and is pending until then: the counts may lag, but are never wrong.
_SELECT = f"""
    SELECT b.id, b.kind, b.caller, b.total, b.accepted_at, c.started_at, b.finished_at, b.cancel_requested_at,
           b.parent_id, ARRAY(SELECT k.id FROM batch AS k WHERE k.parent_id = b.id ORDER BY k.id) AS children,
           m.paused_at, m.error,
           {", ".join(f"coalesce(c.{o}, 0) AS {o}" for o in OUTCOMES)}
    FROM batch AS b LEFT JOIN import AS m ON m.batch_id = b.id LEFT JOIN LATERAL (
        SELECT min(started_at) AS started_at, {", ".join(f"sum({o})::int AS {o}" for o in OUTCOMES)}
        FROM chunk WHERE chunk.batch_id = b.id
    ) AS c ON true
"""  # noqa: S608  constants
_SELECT_ONE = text(f"{_SELECT} WHERE b.id = :batch_id")


def read_batch(session: Session, batch_id: UUID) -> BatchView | None:
    """Return the batch, None if this database has none of that id."""
    row = session.execute(_SELECT_ONE, {"batch_id": batch_id}).one_or_none()
    return None if row is None else _view(row._asdict())


def _view(facts: dict[str, Any]) -> BatchView:
    counts: dict[str, int] = {o: n for o in OUTCOMES if (n := facts.pop(o))}
    if pending := facts["total"] - sum(counts.values()):
        counts["pending"] = pending
    return BatchView(**facts, counts=counts)


_SELECT_MANY = text(f"""
    {_SELECT}
    WHERE (CAST(:after AS uuid) IS NULL OR b.id < :after)
      AND (CAST(:state AS text) IS NULL OR :state = CASE
            WHEN b.finished_at IS NOT NULL AND b.cancel_requested_at IS NOT NULL THEN 'cancelled'
            WHEN b.finished_at IS NOT NULL THEN 'finished'
            WHEN c.started_at IS NOT NULL THEN 'running' ELSE 'accepted' END)
      AND (CAST(:outcome AS text) IS NULL
           OR (:outcome = 'pending' AND b.finished_at IS NULL)
           {" ".join(f"OR (:outcome = '{o}' AND c.{o} > 0)" for o in OUTCOMES)})
    ORDER BY b.id DESC LIMIT :limit
""")


def list_batches(
    session: Session,
    *,
    state: str | None = None,
    outcome: str | None = None,
    after: UUID | None = None,
    limit: int = 100,
) -> list[BatchView]:
    """Return the batches before ``after``, newest first; only in one ``state``, or with items of one ``outcome``."""
    rows = session.execute(_SELECT_MANY, {"state": state, "outcome": outcome, "after": after, "limit": limit})
    return [_view(row._asdict()) for row in rows]


class ItemView(NamedTuple):
    """One item of a report; ``outcome`` None: it is open."""

    position: int
    kind: str
    key: int | None
    record_key: int | None
    outcome: str | None
    status: int | None
    body: str | None
    retry: str | None
    errors: Sequence[dict[str, str]] | None
    line: int | None = None


_SELECT_ITEMS = text("""
    SELECT position, kind, key, record_key, outcome, status, body, retry, errors, CAST(payload ->> 'line' AS bigint)
    FROM item
    WHERE batch_id = :batch_id AND position > :after
      AND (CAST(:outcomes AS text[]) IS NULL OR coalesce(outcome, 'pending') = ANY(:outcomes))
    ORDER BY position LIMIT :limit
""")


def read_items(
    session: Session, batch_id: UUID, *, after: int = -1, limit: int = 1000, outcomes: Sequence[str] | None = None
) -> list[ItemView]:
    """Return up to ``limit`` items with a position above ``after``, in order; only with ``outcomes``, if given."""
    values = {"batch_id": batch_id, "after": after, "limit": limit, "outcomes": list(outcomes) if outcomes else None}
    return [ItemView._make(row) for row in session.execute(_SELECT_ITEMS, values).all()]


_SELECT_ENDED = text("SELECT id FROM batch WHERE id = ANY(:ids) AND finished_at IS NOT NULL")


def find_ended(session: Session, ids: list[UUID]) -> set[UUID]:
    """Return which of ``ids`` have ended, by one statement."""
    return set(session.scalars(_SELECT_ENDED, {"ids": ids}))
