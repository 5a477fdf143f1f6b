"""Watch a batch to its end."""

from uuid import UUID

from limpet.http.imports import ImportCalls
from limpet.terminal.exit_codes import SOME_FAILED
from limpet.terminal.progress import FAILED_OUTCOMES, Progress, ProgressReporter
from schemas.answers import Batch


def watch_to_end(calls: ImportCalls, batch_id: UUID, progress: Progress, reporter: ProgressReporter) -> Batch:
    """Return the batch once it is finished or cancelled, telling how far it is meanwhile."""
    while True:
        batch = calls.batch(batch_id, wait=1)
        progress.sent = batch.total
        progress.paused = batch.paused
        progress.count(batch.counts, batch.total)
        ended = batch.state in ("finished", "cancelled")
        reporter.show(progress, last=ended)
        if ended:
            return batch


def exit_code(batch: Batch) -> int:
    """Return 0 if all of a batch is in."""
    failed = any(batch.counts.get(outcome, 0) for outcome in FAILED_OUTCOMES)
    return SOME_FAILED if failed or batch.error or batch.state == "cancelled" else 0


def report_end(batch: Batch, reporter: ProgressReporter) -> None:
    """Say how a batch ended, where JSON lines are wanted."""
    values = {"batch": str(batch.id), "state": batch.state, "total": batch.total, "counts": batch.counts}
    reporter.event("end", {**values, "error": batch.error})
