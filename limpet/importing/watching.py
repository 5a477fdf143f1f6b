"""Watch a batch to its end."""

from uuid import UUID

from limpet.importing.asked import SOME_FAILED
from limpet.importing.calls import Calls
from limpet.importing.progress import Progress, Teller
from schemas.answers import Batch


def watch_to_end(calls: Calls, batch_id: UUID, progress: Progress, teller: Teller) -> Batch:
    """Return the batch once it is finished or cancelled, telling how far it is meanwhile."""
    while True:
        batch = calls.batch(batch_id, wait=1)
        progress.sent = batch.total
        progress.count(batch.counts, batch.total)
        ended = batch.state in ("finished", "cancelled")
        teller.show(progress, last=ended)
        if ended:
            return batch


def exit_code(batch: Batch, error: str | None) -> int:
    """Return 0 if all of a batch is in; ``error`` is why its import ended before its manifest did."""
    bad = any(batch.counts.get(outcome, 0) for outcome in ("invalid", "failed", "cancelled"))
    return SOME_FAILED if bad or error or batch.state == "cancelled" else 0
