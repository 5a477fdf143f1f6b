"""Periodic clean-up, started by Celery beat; each function may run in two processes at once."""

import time
from datetime import timedelta

from worker.blobs import client_uploads, gc
from worker.database import transaction
from worker.imports import transitions
from worker.ledger.retention import expire_batches
from worker.log import log_event
from worker.settings import settings

_MAX_SECONDS = 240.0  # the next run continues


def collect(database: str) -> int:
    """Remove unreferenced content and expired uploads; return how many objects were removed."""
    client_uploads.forget_expired(database, settings().collect_after)
    return gc.collect(database, settings().collect_after)


def expire(database: str) -> int:
    """Delete batches that ended more than LIMPET_KEEP_BATCHES days ago; return how many. With 0 days: none."""
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
    """Close abandoned imports: retention can't delete the batches after an open one."""
    reason = f"no row came for {days} days, so it was closed; the same command begins it anew"
    with transaction(database) as session:
        closed = transitions.close_idle(session, timedelta(days=days), reason)
    for batch_id in closed:
        log_event("import.closed_idle", database=database, batch=batch_id)
