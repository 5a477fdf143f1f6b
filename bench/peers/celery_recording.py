"""(a) that records: behind FastAPI, and each item is durable before its task is sent.

Clients could read the outcomes. This is Limpet's first promise; it has no order, credentials or idempotency.
"""

from fastapi import FastAPI

from bench.peers.celery_tasks import carry_out
from bench.peers.fastapi_app import CaseAttachment, row_of
from bench.peers.table import record

app = FastAPI()


@app.put("/case-attachments-batch", status_code=207)
def put_batch(items: list[CaseAttachment]) -> list[int]:
    """Record each item, carry it out by its own task; answer when all have ended."""
    results = [carry_out.delay(record(row_of(item))) for item in items]
    for result in results:
        result.get()
    return [200] * len(items)
