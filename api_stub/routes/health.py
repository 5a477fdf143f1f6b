"""Health: open to all, telling nothing secret.

*Not ready* means that nothing can be taken in or read: a load balancer should leave this process alone.
What is less than that is *degraded* and still 200, or a store that is away would take the reads and the writes without
content with it, which can go on. ``parts`` tells which part and what it means.
"""

import asyncio
import math
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import APIRouter, Response

from api_stub.request.backpressure import is_full, spool_has_room
from schemas.answers import Health
from worker.blobs import s3
from worker.broker.celery_app import check_broker
from worker.database import NO_ANSWER_ERRORS
from worker.errors import LimpetError
from worker.log import log_transient
from worker.migrate import is_current
from worker.settings import settings

router = APIRouter(prefix="/health", tags=["health"])
_CHECK_TIMEOUT_SECONDS = 3.0  # seconds: a server that hangs is away, too
# Threads that are not those of requests; as many as there are parts, since one look at each is under way at most.
_THREADS = CapacityLimiter(math.inf)
_running_checks: dict[str, asyncio.Task[str]] = {}
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
        _check_part("store", partial(_check_server, "store", s3.check, _NO_STORE), _NO_STORE),
        _check_part("broker", partial(_check_server, "broker", check_broker, _NO_BROKER), _NO_BROKER),
        *(_check_part(f"database {name}", partial(_check_database, name), _AWAY) for name in names),
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
    is_whole = all(state == _OK for state in parts.values())
    return Health(status="not ready" if not serving else "ready" if is_whole else "degraded", parts=parts)


async def _check_part(part: str, check: Callable[[], Coroutine[Any, Any, str]], failure: str) -> str:
    """Return what ``check`` says of ``part``, or ``failure`` if it says nothing for long.

    Whoever comes while a look is under way waits for that one: a server that hangs is not asked again and again.
    """
    if part not in _running_checks or _running_checks[part].done():
        _running_checks[part] = asyncio.create_task(check())
    running = _running_checks[part]
    done, _ = await asyncio.wait({running}, timeout=_CHECK_TIMEOUT_SECONDS)
    return running.result() if done else failure


async def _check_server(part: str, check: Callable[[], None], failure: str) -> str:
    try:
        await run_sync(check, abandon_on_cancel=True, limiter=_THREADS)
    except LimpetError as error:
        log_transient(f"health.{part}", error)
        return failure
    return _OK


async def _check_database(name: str) -> str:
    try:
        if not await run_sync(is_current, name, abandon_on_cancel=True, limiter=_THREADS):
            return _SCHEMA
        return _FULL if await is_full(name, _THREADS) else _OK
    except NO_ANSWER_ERRORS as error:
        log_transient("health.database", error, database=name)
        return _AWAY
