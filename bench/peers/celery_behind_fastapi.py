"""(a) behind FastAPI: a task for each item; the request waits for the results. It records nothing before."""

from fastapi import FastAPI

from bench.peers.celery_tasks import upsert
from bench.peers.fastapi_app import CaseAttachment, row_of

app = FastAPI()


@app.put("/case-attachments-batch", status_code=207)
def put_batch(items: list[CaseAttachment]) -> list[int]:
    """Create or replace each record by its own task; answer when all have ended."""
    results = [upsert.delay(row_of(item)) for item in items]
    for result in results:
        result.get()
    return [200] * len(items)
