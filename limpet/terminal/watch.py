"""Watch a batch to its end."""

from uuid import UUID

from limpet.http.imports import ImportCalls
from limpet.terminal.exit_codes import SOME_FAILED
from limpet.terminal.progress import Progress, ProgressReporter
from schemas.answers import Batch


def watch_to_end(calls: ImportCalls, batch_id: UUID, progress: Progress, teller: ProgressReporter) -> Batch:
    """Return the batch once it is finished or cancelled, telling how far it is meanwhile."""
    while True:
        batch = calls.batch(batch_id, wait=1)
        progress.sent = batch.total
        progress.paused = batch.paused
        progress.count(batch.counts, batch.total)
        ended = batch.state in ("finished", "cancelled")
        teller.show(progress, last=ended)
        if ended:
            return batch


def exit_code(batch: Batch) -> int:
    """Return 0 if all of a batch is in."""
    bad = any(batch.counts.get(outcome, 0) for outcome in ("invalid", "failed", "cancelled"))
    return SOME_FAILED if bad or batch.error or batch.state == "cancelled" else 0


def tell_end(batch: Batch, teller: ProgressReporter) -> None:
    """Say how a batch ended, where JSON lines are wanted."""
    told = {"batch": str(batch.id), "state": batch.state, "total": batch.total, "counts": batch.counts}
    teller.event("end", {**told, "error": batch.error})
