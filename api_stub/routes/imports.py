"""Imports: a batch that grows while it is carried out, with as many rows as there are."""

import asyncio
from collections.abc import Callable
from typing import Annotated, Any, TypeVar
from uuid import UUID

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query, Request, Response

from api_stub.auth.identity import AnyIdentity, Identity
from api_stub.problems import CONFLICT, FULL, NOT_FOUND, ProblemError, sentence
from api_stub.request.backpressure import admit
from api_stub.request.import_body import MANIFEST_TYPES, as_model, read_model, read_row_lines, store_body
from api_stub.response.envelopes import respond
from api_stub.response.openapi import EITHER_CREDENTIALS, refusals
from api_stub.submit.submit import ApplicationState
from schemas.imports import ContentAnswer, ContentQuery, Import, OpenImport, RowsTaken
from worker.database import transaction
from worker.imports import append, service
from worker.imports.append import ImportView, NotAppendableError
from worker.imports.contents import ContentMissingError, reserve_places
from worker.imports.sources import InvalidSourceError
from worker.log import log_event
from worker.settings import settings

router = APIRouter(
    prefix="/imports", tags=["imports"], dependencies=EITHER_CREDENTIALS, responses=refusals(408, 409, 413)
)
ResultT = TypeVar("ResultT")
_FOUND: dict[int | str, dict[str, Any]] = {200: {"model": Import, "description": "it was there already, and goes on"}}
_MAX_HOLD_SECONDS = 5.0  # seconds


@router.post("", status_code=201, response_model=Import, responses=_FOUND)
async def post_import(request: Request, identity: AnyIdentity) -> Response:
    """Open an import, or find the one of that name and fingerprint again (200, ``resumed``)."""
    await admit(identity.database)
    wanted = await _read_options(request, identity)
    view, resumed = await _run_or_conflict(service.open_import, identity.database, identity.name, wanted)
    if not resumed:
        log_event("import.opened", database=identity.database, batch=view.batch_id, caller=identity.name)
    return respond(request, _import_model(view, resumed=resumed), 200 if resumed else 201)


async def _read_options(request: Request, identity: Identity) -> OpenImport:
    """Return what the body says; a body that is the manifest is stored first, and the parameters say the rest."""
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind not in MANIFEST_TYPES:
        return await read_model(request, OpenImport)
    name = await _run_or_conflict(service.keep_body, identity.database)
    wanted = as_model({"name": name, **request.query_params, "manifest": name}, OpenImport)
    sha256 = await store_body(request, f"{identity.database}/{name}")
    return wanted.model_copy(update={"fingerprint": wanted.fingerprint or service.fingerprint(sha256, wanted)})


@router.get("/{batch_id}", response_model=Import)
async def get_import(request: Request, identity: AnyIdentity, batch_id: UUID) -> Response:
    """Return how far the import is; how its rows ended, its batch tells."""
    return respond(request, _import_model(await _run_or_conflict(_read_import, identity.database, batch_id)))


@router.post("/{batch_id}/contents", response_model=ContentAnswer)
async def post_contents(request: Request, identity: AnyIdentity, batch_id: UUID) -> Response:
    """Return for each content that it is stored, or a URL that takes these very bytes and no others."""
    wanted = await read_model(request, ContentQuery)
    await _run_or_conflict(_read_import, identity.database, batch_id)
    answer = ContentAnswer(contents=await _run_or_conflict(reserve_places, identity.database, wanted.contents))
    # The urls are credentials of their own.
    return respond(request, answer, headers={"Cache-Control": "no-store"})


@router.put("/{batch_id}/rows", response_model=RowsTaken)
async def put_rows(
    request: Request,
    identity: AnyIdentity,
    batch_id: UUID,
    first: Annotated[int, Query(alias="from", ge=0, le=2**31 - 1)],
) -> Response:
    """Append rows (NDJSON, or a JSON array) from row ``from`` on; those that are there already are passed by.

    While more chunks wait than the workers have at hand, nothing is taken: the request is held, at last answered with
    503, so that the sender takes their pace.
    """
    await admit(identity.database)
    state: ApplicationState = request.app.state.application
    await _wait_for_room(state, identity.database, batch_id)
    lines = await read_row_lines(request)
    taken = await _run_or_conflict(service.append_lines, identity.database, batch_id, first, lines)
    state.publisher.publish(identity.database, taken.messages)
    return respond(request, RowsTaken(next_row=taken.next_row, paused=taken.paused))


@router.post("/{batch_id}/close", response_model=Import)
async def post_close(request: Request, identity: AnyIdentity, batch_id: UUID) -> Response:
    """Say that no row follows; the batch finishes once all are carried out. Again: nothing."""
    return await _change_import(request, identity, batch_id, service.close)


@router.post("/{batch_id}/pause", response_model=Import)
async def post_pause(request: Request, identity: AnyIdentity, batch_id: UUID) -> Response:
    """Start no chunk from now on; what is at work finishes."""
    return await _change_import(request, identity, batch_id, service.pause)


@router.post("/{batch_id}/resume", response_model=Import)
async def post_resume(request: Request, identity: AnyIdentity, batch_id: UUID) -> Response:
    """Go on after a pause."""
    return await _change_import(request, identity, batch_id, service.resume)


async def _change_import(
    request: Request, identity: Identity, batch_id: UUID, change: Callable[[str, UUID], None]
) -> Response:
    await _run_or_conflict(_read_import, identity.database, batch_id)
    await _run_or_conflict(change, identity.database, batch_id)
    return respond(request, _import_model(await _run_or_conflict(_read_import, identity.database, batch_id)))


async def _run_or_conflict(work: Callable[..., ResultT], *arguments: object) -> ResultT:
    """Run ``work`` in a thread; its refusals become problems."""
    try:
        return await run_sync(work, *arguments)
    except (NotAppendableError, ContentMissingError, service.ChangedError, InvalidSourceError) as refusal:
        raise ProblemError(CONFLICT, sentence(refusal), {"Limpet-Reason": type(refusal).__name__}) from refusal


async def _wait_for_room(state: ApplicationState, database: str, batch_id: UUID) -> None:
    deadline = asyncio.get_running_loop().time() + _MAX_HOLD_SECONDS
    max_chunks = settings().import_chunks_ahead

    def too_many() -> bool:
        with transaction(database) as session:
            return append.count_chunks_ahead(session, batch_id, max_chunks + 1) > max_chunks

    # No notification tells that a chunk is done, so the ledger is polled.
    while await run_sync(too_many):
        if state.waiters.closed or asyncio.get_running_loop().time() > deadline:
            detail = f"More than {max_chunks} chunks of this import wait for workers. Send these rows again"
            raise ProblemError(FULL, detail, {"Retry-After": "1", "Limpet-Reason": "HeldBack"})
        await asyncio.sleep(0.1)


def _read_import(database: str, batch_id: UUID) -> ImportView:
    with transaction(database) as session:
        found = append.read_import(session, batch_id)
    if found is None:
        raise ProblemError(NOT_FOUND, f"No import {batch_id}")
    return found


def _import_model(view: ImportView, *, resumed: bool = False) -> Import:
    return Import.model_validate(
        {
            "id": view.batch_id,
            "href": f"/imports/{view.batch_id}",
            "batch": f"/batches/{view.batch_id}",
            "name": view.name,
            "kind": service.kind_of(view),
            "nextRow": view.next_row,
            "state": view.state,
            "paused": view.paused_at is not None,
            "resumed": resumed,
            "onConflict": view.on_conflict,
            "rowsPerSecond": view.rows_per_second,
            "manifest": view.manifest,
            "openedAt": view.accepted_at,
            "error": view.error,
        }
    )
