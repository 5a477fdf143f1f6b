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

from api_stub.problems import BAD_PARAMETER, BY_STATUS, FULL, UNAVAILABLE, UNEXPECTED, ProblemError, ProblemType
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
from worker.errors import BlobMissingError, SpoolFullError, StoreUnavailableError
from worker.ledger.uuid7 import new_batch_id
from worker.log import log_bug, log_event, log_transient

# The vendor's base path: everything is there under both.
_PREFIXES = ("", "/vbasoftware")
_RETRY_LATER = {"Retry-After": "2"}
_UNAVAILABLE_DETAIL = (
    "A server behind us does not answer. Try again after Retry-After; a write with its Idempotency-Key, "
    "for it may have been accepted"
)


def create_app() -> FastAPI:
    """Return the application, its routes under both prefixes."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    # Two lines for each request of /health/ready, and nothing in them.
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
    app.add_exception_handler(ProblemError, _on_problem)
    app.add_exception_handler(RequestValidationError, _on_bad_parameter)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)
    app.add_exception_handler(StoreUnavailableError, _on_unavailable)
    app.add_exception_handler(BlobMissingError, _on_unavailable)
    app.add_exception_handler(SpoolFullError, _on_full_disk)
    app.add_exception_handler(DBAPIError, _on_database_error)
    app.add_exception_handler(PoolTimeoutError, _on_unavailable)
    app.add_exception_handler(Exception, _on_unexpected)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    listener = Listener()
    with running_publisher(listener) as publisher:
        async with running_waiters(listener) as waiters:
            app.state.application = ApplicationState(waiters, publisher)
            async with running_listener(listener, app.state.application):
                yield


def _refuse(
    request: Request,
    type_: ProblemType,
    detail: str,
    headers: dict[str, str] | None = None,
    activity: str | None = None,
) -> Response:
    """Return the answer to a request that is refused whole, in the form of the family that it belongs to."""
    respond = files.problem if file_urls.is_file_path(request.url.path) else envelopes.problem
    return respond(request, type_, detail, headers, activity)


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)
    return _refuse(request, error.type, error.detail, error.headers)


async def _on_bad_parameter(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    detail = "; ".join(f"{'.'.join(str(part) for part in e['loc'])}: {e['msg']}" for e in error.errors())
    return _refuse(request, BAD_PARAMETER, detail)


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    type_ = BY_STATUS.get(error.status_code, ProblemType(error.status_code, "http", str(error.detail)))
    return _refuse(request, type_, f"{error.detail}: {request.method} {request.url.path}", dict(error.headers or {}))


async def _on_disconnect(request: Request, _error: Exception) -> Response:
    log_event("request.hung_up", path=request.url.path)
    return Response(status_code=400)  # the client has hung up


async def _on_unavailable(request: Request, error: Exception) -> Response:
    log_transient("request.unavailable", error, path=request.url.path)
    return _refuse(request, UNAVAILABLE, _UNAVAILABLE_DETAIL, _RETRY_LATER)


async def _on_full_disk(request: Request, error: Exception) -> Response:
    log_transient("request.disk_full", error, path=request.url.path)
    return _refuse(request, FULL, "The disk for large bodies is full. Try again later, or send less", _RETRY_LATER)


async def _on_database_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, DBAPIError)
    return await (_on_unavailable if is_transient(error) else _on_unexpected)(request, error)


async def _on_unexpected(request: Request, error: Exception) -> Response:
    activity = str(new_batch_id())
    log_bug("request.failed", error, activity=activity, path=request.url.path)
    detail = "The log has the reason under the activityID of this answer"
    # The server closes the connection after a bug.
    return _refuse(request, UNEXPECTED, detail, {"Connection": "close"}, activity)
