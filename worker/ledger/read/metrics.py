"""Read the gauges for operators: how much is open, and how long the oldest open chunk has waited."""

from dataclasses import asdict, dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session


@dataclass(frozen=True, slots=True)
class Gauges:
    """The gauges of one database."""

    batches_unfinished: int
    chunks_open: int
    chunks_taken: int
    chunks_overdue: int
    oldest_chunk_seconds: float
    garbage_objects: int

    def lines(self, database: str) -> str:
        """Return the gauges in Prometheus' text format (version 0.0.4)."""
        return "".join(
            f'# TYPE limpet_{name} gauge\nlimpet_{name}{{database="{database}"}} {value}\n'
            for name, value in asdict(self).items()
        )


# An overdue chunk was published again more than twice, and no worker took it.
_SELECT_GAUGES = text("""
    SELECT (SELECT count(*) FROM batch WHERE finished_at IS NULL) AS batches_unfinished,
           count(*) FILTER (WHERE c.state = 'open') AS chunks_open,
           count(*) FILTER (WHERE c.state = 'taken') AS chunks_taken,
           count(*) FILTER (WHERE c.rings > 2) AS chunks_overdue,
           coalesce(extract(epoch FROM clock_timestamp() - min(b.accepted_at)), 0)::float AS oldest_chunk_seconds,
           (SELECT count(*) FROM garbage WHERE due_at <= now()) AS garbage_objects
    FROM chunk AS c JOIN batch AS b ON b.id = c.batch_id WHERE c.due_at IS NOT NULL
""")


# Counts whole chunks: it need not be exact, but it must not read a single item.
_COUNT_OPEN_ITEMS = text("SELECT coalesce(sum(last - first + 1), 0) FROM chunk WHERE due_at IS NOT NULL")


def count_open_items(session: Session) -> int:
    """Return how many items the chunks have that are not done: the open items, or somewhat more."""
    return int(session.scalar(_COUNT_OPEN_ITEMS) or 0)


def read_gauges(session: Session) -> Gauges:
    """Read the gauges; the cost grows with the open chunks, not with the ledger."""
    return Gauges(**session.execute(_SELECT_GAUGES).one()._asdict())
