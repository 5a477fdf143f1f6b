"""Health: open to all, telling nothing secret."""

import anyio.to_thread
from fastapi import APIRouter, Response
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from schemas.answers import Health
from worker import store
from worker.database import transaction
from worker.errors import StoreUnavailableError
from worker.log import trouble
from worker.migrate import is_current
from worker.settings import settings

router = APIRouter(prefix="/health", tags=["health"])


@router.get("/live")
async def live() -> Health:
    """Return that this process answers."""
    return Health(status="live")


@router.get("/ready", responses={503: {"model": Health}})
async def ready(response: Response) -> Health:
    """Return whether batches can be taken in: every database is there at its schema, and so is the store."""
    parts = await anyio.to_thread.run_sync(_parts)
    good = all(state == "ok" for state in parts.values())
    response.status_code = 200 if good else 503
    return Health(status="ready" if good else "not ready", parts=parts)


def _parts() -> dict[str, str]:
    # Databases are counted, not named: their names are the callers'.
    states = [_database(name) for name in settings().databases]
    bad = sorted({state for state in states if state != "ok"})
    return {"databases": "; ".join(bad) or ("ok" if states else "none is configured"), "store": _store()}


def _database(name: str) -> str:
    try:
        with transaction(name) as session:
            session.execute(text("SELECT 1"))
        return "ok" if is_current(name) else "the schema is not this version's: run limpet migrate"
    except DBAPIError as fault:
        trouble("health.database", fault, database=name)
        return "a database does not answer"


def _store() -> str:
    try:
        store.check()
    except StoreUnavailableError as fault:
        trouble("health.store", fault)
        return "the object store does not answer, or its bucket is missing"
    return "ok"
