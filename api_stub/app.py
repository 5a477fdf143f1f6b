"""The HTTP application. ``uvicorn api_stub.app:create_app --factory`` starts it."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from api_stub.problems import BAD_PARAMETER, BY_STATUS, UNAVAILABLE, UNEXPECTED, ProblemError, ProblemType
from api_stub.request import file_urls
from api_stub.response import envelopes, files
from api_stub.routes import (
    batches,
    case_attachments,
    file_attachments,
    health,
    import_preview,
    imports,
    metrics,
    uploads,
)
from api_stub.submit.listener import running_listener
from api_stub.submit.publisher import running_publisher
from api_stub.submit.submit import ApplicationState
from api_stub.submit.waiters import running_waiters
from worker.broker.notifications import Listener
from worker.database import is_transient
from worker.errors import BlobMissingError, StoreUnavailableError
from worker.ledger.uuid7 import new_batch_id
from worker.log import log_bug, log_event, log_transient

# The vendor's base path: everything is there under both.
_PREFIXES = ("", "/vbasoftware")
_LATER = {"Retry-After": "2"}
_AGAIN = (
    "A server behind us does not answer. Try again after Retry-After; a write with its Idempotency-Key, "
    "for it may have been accepted"
)


def create_app() -> FastAPI:
    """Return the application, its routes under both prefixes."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    # Two lines whenever somebody asks /health/ready, and nothing in them.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    app = FastAPI(
        title="Limpet",
        summary="Takes in attachments in bulk and never lets go of one.",
        version="0.1.0",
        lifespan=_lifespan,
        redoc_url=None,
    )
    for prefix in _PREFIXES:
        for router in (
            case_attachments.router,
            batches.router,
            import_preview.router,
            imports.router,
            uploads.router,
        ):
            app.include_router(router, prefix=prefix, include_in_schema=not prefix)
    app.include_router(file_attachments.router)
    app.include_router(health.router)
    app.include_router(metrics.router)
    app.add_exception_handler(ProblemError, _problem)
    app.add_exception_handler(RequestValidationError, _bad_parameter)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(ClientDisconnect, _hung_up)
    app.add_exception_handler(StoreUnavailableError, _unavailable)
    app.add_exception_handler(BlobMissingError, _unavailable)
    app.add_exception_handler(DBAPIError, _database)
    app.add_exception_handler(PoolTimeoutError, _unavailable)
    app.add_exception_handler(Exception, _unexpected)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    listener = Listener()
    with running_publisher(listener) as publisher:
        async with running_waiters(listener) as waiters:
            app.state.application = ApplicationState(waiters, publisher)
            async with running_listener(listener, app.state.application):
                yield


def _refused(
    request: Request,
    type_: ProblemType,
    detail: str,
    headers: dict[str, str] | None = None,
    activity: str | None = None,
) -> Response:
    """Return the answer to a request that is refused whole, in the form of the family that it belongs to."""
    spell = files.problem if file_urls.is_ours(request.url.path) else envelopes.problem
    return spell(request, type_, detail, headers, activity)


async def _problem(request: Request, fault: Exception) -> Response:
    assert isinstance(fault, ProblemError)
    return _refused(request, fault.type, fault.detail, fault.headers)


async def _bad_parameter(request: Request, fault: Exception) -> Response:
    assert isinstance(fault, RequestValidationError)
    detail = "; ".join(f"{'.'.join(str(part) for part in e['loc'])}: {e['msg']}" for e in fault.errors())
    return _refused(request, BAD_PARAMETER, detail)


async def _http(request: Request, fault: Exception) -> Response:
    assert isinstance(fault, HTTPException)
    type_ = BY_STATUS.get(fault.status_code, ProblemType(fault.status_code, "http", str(fault.detail)))
    return _refused(request, type_, f"{fault.detail}: {request.method} {request.url.path}", dict(fault.headers or {}))


async def _hung_up(request: Request, _fault: Exception) -> Response:
    log_event("request.hung_up", path=request.url.path)
    return Response(status_code=400)  # which nobody hears


async def _unavailable(request: Request, fault: Exception) -> Response:
    log_transient("request.unavailable", fault, path=request.url.path)
    return _refused(request, UNAVAILABLE, _AGAIN, _LATER)


async def _database(request: Request, fault: Exception) -> Response:
    assert isinstance(fault, DBAPIError)
    return await (_unavailable if is_transient(fault) else _unexpected)(request, fault)


async def _unexpected(request: Request, fault: Exception) -> Response:
    activity = str(new_batch_id())
    log_bug("request.failed", fault, activity=activity, path=request.url.path)
    detail = "The log has the reason under the activityID of this answer"
    # The server closes the connection after a bug.
    return _refused(request, UNEXPECTED, detail, {"Connection": "close"}, activity)
