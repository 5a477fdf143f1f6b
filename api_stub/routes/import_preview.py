"""Imports: what would become of rows, and what is stored already. These paths change nothing."""

from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query, Request, Response

from api_stub.auth.identity import AnyIdentity
from api_stub.request.import_body import read_model, read_row_lines
from api_stub.response.envelopes import respond
from api_stub.response.openapi import EITHER_CREDENTIALS, refusals
from schemas.imports import Checked, ImportKind, KeysAnswer, OnConflict, StoredAnswer, StoredQuery
from worker.imports import preview
from worker.imports.rows import ImportOptions

router = APIRouter(prefix="/imports", tags=["imports"], dependencies=EITHER_CREDENTIALS, responses=refusals(408, 413))


@router.post("/check", response_model=Checked)
async def post_check(
    request: Request,
    identity: AnyIdentity,
    on_conflict: Annotated[OnConflict, Query(alias="onConflict")] = "replace",
    kind: ImportKind = "case-attachments",
) -> Response:
    """Dry run: validate and match rows, in the form of ``PUT /imports/{id}/rows``, and change nothing."""
    lines = await read_row_lines(request)
    options = ImportOptions(identity.database, kind, on_conflict)
    return respond(request, await run_sync(preview.check_rows, options, lines))


@router.post("/stored", response_model=StoredAnswer)
async def post_stored(request: Request, identity: AnyIdentity) -> Response:
    """Return records with the hashes of their contents, as ``limpet verify`` compares them."""
    wanted = await read_model(request, StoredQuery)
    found = await run_sync(preview.read_stored, identity.database, wanted.keys)
    return respond(request, StoredAnswer(records=found))


@router.get("/stored", response_model=KeysAnswer)
async def get_stored(
    request: Request,
    identity: AnyIdentity,
    after: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
    limit: Annotated[int, Query(ge=1, le=50_000)] = 10_000,
) -> Response:
    """Return the keys of all records, in order, a page at a time."""
    found = await run_sync(preview.list_keys, identity.database, after, limit)
    return respond(request, KeysAnswer(keys=found))
