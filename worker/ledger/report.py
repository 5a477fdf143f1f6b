"""Read what became of a batch."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

OUTCOMES = ("created", "updated", "deleted", "skipped", "invalid", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class BatchView:
    """A batch as it stands. ``counts`` has every outcome that occurs, and ``pending`` for what is open."""

    id: UUID
    kind: str
    caller: str
    total: int
    accepted_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    cancel_requested_at: datetime | None
    parent_id: UUID | None
    counts: dict[str, int]

    @property
    def state(self) -> str:
        """accepted, running, finished or cancelled."""
        if self.finished_at is not None:
            return "cancelled" if self.cancel_requested_at else "finished"
        return "running" if self.started_at else "accepted"


@dataclass(frozen=True, slots=True)
class ItemView:
    """One item as the report shows it; ``outcome`` None: it is open."""

    position: int
    kind: str
    key: int | None
    record_key: int | None
    outcome: str | None
    status: int | None
    body: str | None
    retry: str | None
    errors: list[dict[str, str]] | None


# Invalid items of an open chunk have their outcome since acceptance, but only a chunk that is done has counted.
_SUMS = ", ".join(f"sum({o})::int AS {o}" for o in OUTCOMES)
_VIEW = text(f"""
    SELECT b.id, b.kind, b.caller, b.total, b.accepted_at, c.started_at, b.finished_at, b.cancel_requested_at,
           b.parent_id, {", ".join(f"coalesce(c.{o}, 0) AS {o}" for o in OUTCOMES)}
    FROM batch AS b LEFT JOIN LATERAL (
        SELECT min(started_at) AS started_at, {_SUMS} FROM chunk WHERE chunk.batch_id = b.id
    ) AS c ON true
    WHERE b.id = :batch_id
""")  # noqa: S608  constants


def view(session: Session, batch_id: UUID) -> BatchView | None:
    """Return the batch, None if this database has none of that id."""
    row = session.execute(_VIEW, {"batch_id": batch_id}).one_or_none()
    if row is None:
        return None
    facts = row._asdict()
    counts = {o: n for o in OUTCOMES if (n := facts.pop(o))}
    if pending := facts["total"] - sum(counts.values()):
        counts["pending"] = pending
    return BatchView(**facts, counts=counts)


_ITEMS = text("""
    SELECT position, kind, key, record_key, outcome, status, body, retry, errors FROM item
    WHERE batch_id = :batch_id AND position > :after
    ORDER BY position LIMIT :limit
""")


def items(session: Session, batch_id: UUID, *, after: int = -1, limit: int = 1000) -> list[ItemView]:
    """Return up to ``limit`` items with a position above ``after``, in order."""
    rows = session.execute(_ITEMS, {"batch_id": batch_id, "after": after, "limit": limit})
    return [ItemView(*row) for row in rows]


_ENDED = text("SELECT id FROM batch WHERE id = ANY(:ids) AND finished_at IS NOT NULL")


def ended(session: Session, ids: list[UUID]) -> set[UUID]:
    """Return which of ``ids`` have ended: one statement for all who wait."""
    return set(session.scalars(_ENDED, {"ids": ids}))
