"""Watch a batch to its end."""

from uuid import UUID

from limpet.http.imports import ImportCalls
from limpet.terminal.exit_codes import SOME_FAILED
from limpet.terminal.progress import FAILED_OUTCOMES, Progress, ProgressReporter
from schemas.answers import Batch


def watch_to_end(calls: ImportCalls, batch_id: UUID, progress: Progress, reporter: ProgressReporter) -> Batch:
    """Show the progress of a batch until it is finished or cancelled, and return it."""
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
    """Return 0 if all items of a batch succeeded, else `SOME_FAILED`."""
    failed = any(batch.counts.get(outcome, 0) for outcome in FAILED_OUTCOMES)
    return SOME_FAILED if failed or batch.error or batch.state == "cancelled" else 0


def report_end(batch: Batch, reporter: ProgressReporter) -> None:
    """Print how a batch ended, if JSON was requested."""
    values = {"batch": str(batch.id), "state": batch.state, "total": batch.total, "counts": batch.counts}
    reporter.event("end", {**values, "error": batch.error})
