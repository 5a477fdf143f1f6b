"""(a) behind FastAPI: a task for each item, and its result waited for in the request.

With ``PEER_RECORDS`` set it keeps what Limpet promises first: what was sent is durable before a task is told of it, and
how it ended can be asked for. Without, nothing is recorded. No order either way, no credentials, no repeats.
"""

import os

from fastapi import FastAPI

from bench.peers.celery_tasks import carry_out, upsert
from bench.peers.fastapi_app import CaseAttachment, row_of
from bench.peers.table import record

app = FastAPI()
_RECORDS = bool(os.environ.get("PEER_RECORDS"))


@app.put("/case-attachments-batch", status_code=207)
def put_batch(items: list[CaseAttachment]) -> list[int]:
    """Create or replace each by a task of its own, and answer when all have ended."""
    rows = [row_of(item) for item in items]
    results = [carry_out.delay(record(row)) if _RECORDS else upsert.delay(row) for row in rows]
    for result in results:
        result.get()
    return [200] * len(items)
