"""Upkeep, which beat starts: what nothing needs any more goes. All of it may run in two places at once."""

import time
from datetime import timedelta

from worker.blobs import client_uploads, gc
from worker.database import transaction
from worker.imports import transitions
from worker.ledger.retention import expire_batches
from worker.log import log_event
from worker.settings import settings

_MAX_SECONDS = 240.0  # seconds; what is left then is for the next time


def collect(database: str) -> int:
    """Remove content that nothing names, and uploads that expired; return how many objects went."""
    client_uploads.forget_expired(database, settings().collect_after)
    return gc.collect(database, settings().collect_after)


def expire(database: str) -> int:
    """Forget batches that ended more than LIMPET_KEEP_BATCHES days ago; return how many. With 0 days: none."""
    days = settings().keep_batches
    deleted, more, deadline = 0, days > 0, time.monotonic() + _MAX_SECONDS
    if more:
        _close_idle(database, days)
    while more and time.monotonic() < deadline:
        with transaction(database) as session:
            count, more = expire_batches(session, timedelta(days=days))
        deleted += count
    if deleted:
        log_event("batches.expired", database=database, batches=deleted)
    return deleted


def _close_idle(database: str, days: int) -> None:
    """Close imports that nobody goes on with: while one is open, what came after it can't be forgotten."""
    reason = f"no row came for {days} days, so it was closed; the same command begins it anew"
    with transaction(database) as session:
        closed = transitions.close_idle(session, timedelta(days=days), reason)
    for batch_id in closed:
        log_event("import.closed_idle", database=database, batch=batch_id)
