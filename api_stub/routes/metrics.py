"""``/metrics`` for Prometheus: one database's ledger, for the callers of that database."""

from anyio.to_thread import run_sync
from fastapi import APIRouter, Response

from api_stub.auth.identity import AnyIdentity
from api_stub.response.openapi import EITHER_CREDENTIALS, refusals
from worker.database import transaction
from worker.ledger.read.metrics import read_gauges

router = APIRouter(tags=["health"], dependencies=EITHER_CREDENTIALS, responses=refusals())
_TEXT = "text/plain; version=0.0.4; charset=utf-8"


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def get_metrics(identity: AnyIdentity) -> Response:
    """Return gauges: open and overdue chunks, unfinished batches, garbage."""

    def read() -> str:
        with transaction(identity.database) as session:
            return read_gauges(session).lines(identity.database)

    return Response(await run_sync(read), media_type=_TEXT)
