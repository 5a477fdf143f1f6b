"""(a) that records: behind FastAPI, too, but what was sent is durable before a task is told of it.

How it ended can be asked for. That is what Limpet promises first; no order, no credentials, no repeats.
"""

from fastapi import FastAPI

from bench.peers.celery_tasks import carry_out
from bench.peers.fastapi_app import CaseAttachment, row_of
from bench.peers.table import record

app = FastAPI()


@app.put("/case-attachments-batch", status_code=207)
def put_batch(items: list[CaseAttachment]) -> list[int]:
    """Record each, create or replace it by a task of its own, and answer when all have ended."""
    results = [carry_out.delay(record(row_of(item))) for item in items]
    for result in results:
        result.get()
    return [200] * len(items)
