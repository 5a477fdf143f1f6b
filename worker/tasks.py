"""The Celery tasks, thin since all that matters happens in the ledger; ``celery -A worker.tasks worker`` runs them."""

import os
from datetime import timedelta

from celery import Task

from worker import blobs, uploads
from worker.broker import BULK, DELIVER, app
from worker.deliver import deliver
from worker.settings import settings

app.conf.beat_schedule = {
    f"collect {name}": {
        "task": "limpet.collect",
        "schedule": timedelta(minutes=5),
        "args": (name,),
        "options": {"expires": 300, "queue": BULK},
    }
    for name in settings().databases
}


@app.task(name=DELIVER, bind=True)
def deliver_chunk(self: Task[..., str], /, database: str, chunk_id: int) -> str:
    """Carry out one chunk."""
    return deliver(database, chunk_id, f"{self.request.hostname} pid {os.getpid()}")


@app.task(name="limpet.collect")
def collect(database: str) -> int:
    """Remove content that nothing names, and uploads that expired; return how many objects went."""
    uploads.forget_expired(database, settings().collect_after)
    return blobs.collect(database, settings().collect_after)
