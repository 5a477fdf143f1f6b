"""Imports: what would become of rows, and what is stored already. These paths change nothing."""

from typing import Annotated

import anyio.to_thread
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel

from api_stub.auth.identity import Identity, identify_either
from api_stub.request.import_body import read_model, row_lines
from api_stub.request.preferences import media_type
from api_stub.response.openapi import EITHER_CREDENTIALS, refusals
from schemas.imports import Checked, ImportKind, KeysAnswer, OnConflict, StoredAnswer, StoredQuery
from worker.imports import preview
from worker.imports.rows import ImportOptions

router = APIRouter(prefix="/imports", tags=["imports"], dependencies=EITHER_CREDENTIALS, responses=refusals(408, 413))
Known = Annotated[Identity, Depends(identify_either)]


@router.post("/check", response_model=Checked)
async def post_check(
    request: Request,
    identity: Known,
    on_conflict: Annotated[OnConflict, Query(alias="onConflict")] = "replace",
    kind: ImportKind = "case-attachments",
) -> Response:
    """Dry run: validate and match rows, in the form of ``PUT /imports/{id}/rows``, and change nothing."""
    lines = await row_lines(request)
    rule = ImportOptions(identity.database, kind, on_conflict)
    return _answer(await anyio.to_thread.run_sync(preview.check_rows, rule, lines), request)


@router.post("/stored", response_model=StoredAnswer)
async def post_stored(request: Request, identity: Known) -> Response:
    """Return records with the hashes of their contents, as ``limpet verify`` compares them."""
    wanted = await read_model(request, StoredQuery)
    found = await anyio.to_thread.run_sync(preview.read_stored, identity.database, wanted.keys)
    return _answer(StoredAnswer(records=found), request)


@router.get("/stored", response_model=KeysAnswer)
async def get_stored(
    request: Request,
    identity: Known,
    after: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
    limit: Annotated[int, Query(ge=1, le=50_000)] = 10_000,
) -> Response:
    """Return the keys of all records, in order, a page at a time."""
    found = await anyio.to_thread.run_sync(preview.list_keys, identity.database, after, limit)
    return _answer(KeysAnswer(keys=found), request)


def _answer(answer: BaseModel, request: Request) -> Response:
    return Response(answer.model_dump_json(by_alias=True), media_type=media_type(request))
