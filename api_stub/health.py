"""Health: open to all, telling nothing secret.

*Not ready* means that nothing can be taken in or read: whoever shares requests out should leave this process alone.
What is less than that is *degraded* and still 200, or a store that is away would take the reads and the writes without
content with it, which can go on. ``parts`` tells which part and what it means.
"""

import asyncio
from collections.abc import Callable

import anyio
from anyio.to_thread import run_sync
from fastapi import APIRouter, Response
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from api_stub.pressure import is_full, spool_has_room
from schemas.answers import Health
from worker import broker, store
from worker.errors import BrokerUnavailableError, StoreUnavailableError
from worker.log import trouble
from worker.migrate import is_current
from worker.settings import settings

router = APIRouter(prefix="/health", tags=["health"])
# A server that hangs is away, too. Its threads are not those that requests need, and can't pile up.
_PATIENCE = 3.0  # seconds
_THREADS = anyio.CapacityLimiter(8)
_OK = "ok"
_AWAY = "a database does not answer"
_SCHEMA = "the schema is not this version's: run limpet migrate"
_NO_STORE = "the object store does not answer, or its bucket is missing: contents can't be read, large ones not sent"
_NO_BROKER = "the broker does not answer: batches are taken in, and run when it is back"
_FULL = "as many items are open in a database as may be: its new work is refused until some are done"


@router.get("/live")
async def live() -> Health:
    """Return that this process answers."""
    return Health(status="live")


@router.get("/ready", responses={503: {"model": Health}})
async def ready(response: Response) -> Health:
    """Return whether batches can be taken in: 503 if they can't be at all, and what is amiss besides."""
    names = list(settings().databases)
    store_state, broker_state, *states = await asyncio.gather(
        _answered(_store, _NO_STORE), _answered(_broker, _NO_BROKER), *(_database(name) for name in names)
    )
    # Databases are counted, not named: their names are the callers'.
    serving = any(state in (_OK, _FULL) for state in states) and _SCHEMA not in states
    parts = {
        "databases": "; ".join(sorted({s for s in states if s != _OK})) or (_OK if states else "none is configured"),
        "store": store_state,
        "broker": broker_state,
        "disk": _OK if spool_has_room() else "the disk for large bodies is nearly full: they are refused",
    }
    response.status_code = 200 if serving else 503
    whole = all(state == _OK for state in parts.values())
    return Health(status="not ready" if not serving else "ready" if whole else "degraded", parts=parts)


async def _answered(look: Callable[[], str], otherwise: str) -> str:
    """Return what ``look`` says, or ``otherwise`` if it says nothing for long."""
    with anyio.move_on_after(_PATIENCE):
        return await run_sync(look, abandon_on_cancel=True, limiter=_THREADS)
    return otherwise


async def _database(name: str) -> str:
    state = await _answered(lambda: _schema(name), _AWAY)
    try:
        return _FULL if state == _OK and await is_full(name) else state
    except (DBAPIError, PoolTimeoutError) as fault:
        trouble("health.database", fault, database=name)
        return _AWAY


def _schema(name: str) -> str:
    try:
        return _OK if is_current(name) else _SCHEMA
    except (DBAPIError, PoolTimeoutError) as fault:
        trouble("health.database", fault, database=name)
        return _AWAY


def _store() -> str:
    try:
        store.check()
    except StoreUnavailableError as fault:
        trouble("health.store", fault)
        return _NO_STORE
    return _OK


def _broker() -> str:
    try:
        broker.check()
    except BrokerUnavailableError as fault:
        trouble("health.broker", fault)
        return _NO_BROKER
    return _OK
