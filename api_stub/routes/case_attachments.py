"""Family A: the paths of case attachments."""

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Path, Query, Request, Response

from api_stub.auth.identity import Identity, identify
from api_stub.problems import BAD_PARAMETER, NOT_A_LIST, NOT_FOUND, TOO_LARGE, ProblemError
from api_stub.request.backpressure import admit
from api_stub.request.entry_content import parse_case_attachment, parse_case_attachments
from api_stub.request.json_body import read_json
from api_stub.request.preferences import read_preferences
from api_stub.response import envelopes, records
from api_stub.response.download import content_response
from api_stub.response.openapi import CREDENTIALS, refusals
from api_stub.submit.submit import submit
from schemas.answers import BatchBrief, Envelope
from schemas.case_attachment import CaseAttachment, CaseAttachmentRecord
from schemas.kinds import CREATE, DELETE, DELETE_CONTENT
from worker.database import NO_ANSWER_ERRORS
from worker.errors import BlobMissingError, StoreUnavailableError
from worker.kinds.case_attachment.parse import CaseAttachmentOptions
from worker.ledger.model import NewItem
from worker.log import log_transient
from worker.settings import settings

router = APIRouter(
    tags=["case attachments"], dependencies=CREDENTIALS, responses=refusals(408, 409, 412, 413, 415, 422)
)
CaseAttachmentIdentity = Annotated[Identity, Depends(identify)]
KeyInPath = Annotated[int, Path(alias="CaseAttachment_Key", ge=0, le=2**31 - 1)]

_ENTRY = CaseAttachment.model_json_schema(by_alias=True)
_ENTRIES = {"type": "array", "items": _ENTRY}

_ACCEPTED: dict[int | str, dict[str, Any]] = {202: {"model": Envelope, "description": "accepted, not done in time"}}
_BINARY = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_CONTENT: dict[int | str, dict[str, Any]] = {
    200: {"description": "the bytes, in the media type of the file's name", "content": _BINARY},
    206: {"description": "the range of them that was asked for", "content": _BINARY},
    304: {"description": "unchanged since the ETag of If-None-Match"},
    416: {"description": "the range lies beyond the end"},
}


def _json_request(schema: Mapping[str, object]) -> dict[str, object]:
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


@router.put(
    "/case-attachments-batch",
    status_code=207,
    response_model=Envelope,
    responses={202: {"model": Envelope, "description": "accepted, not done yet (Prefer: respond-async)"}},
    openapi_extra=_json_request(_ENTRIES),
)
async def put_batch(request: Request, identity: CaseAttachmentIdentity) -> Response:
    """Create or update many: one entry of the answer for each item, in the order of the request."""
    await admit(identity.database)
    body = await read_json(request, identity.database)
    if not isinstance(body.content, list):
        raise ProblemError(NOT_A_LIST, "Send a bare JSON array of case attachments")
    if len(body.content) > settings().max_items:
        raise ProblemError(TOO_LARGE, f"A batch has at most {settings().max_items} items; send several")
    if len(body.content) > settings().small_batch or body.lifted:
        items = await run_sync(parse_case_attachments, body.content, body.lifted)
    else:  # a thread would take longer than the few
        items = parse_case_attachments(body.content)
    wanted = read_preferences(request)
    view, ends = await submit(request, identity, items, body.sha256, wanted)
    # Not awaited is not awaited, even if it was done at once: clients get the one answer they asked for.
    status = 202 if wanted.respond_async and (view.finished_at is None or not wanted.wait) else 207
    return envelopes.statuses(request, view, ends, status, wanted)


@router.post(
    "/case-attachments",
    status_code=201,
    response_model=Envelope,
    responses=_ACCEPTED,
    openapi_extra=_json_request(_ENTRY),
)
async def post_one(request: Request, identity: CaseAttachmentIdentity) -> Response:
    """Create one; a key that is known already is a conflict."""
    await admit(identity.database)
    body = await read_json(request, identity.database)
    options = CaseAttachmentOptions(CREATE)
    item = await run_sync(parse_case_attachment, body.content, body.lifted, options)
    return await _write(request, identity, item, body.sha256)


@router.put(
    "/case-attachments/{CaseAttachment_Key}",
    response_model=Envelope,
    responses=_ACCEPTED | {201: {"model": Envelope, "description": "created"}},
    openapi_extra=_json_request(_ENTRY),
)
async def put_one(request: Request, identity: CaseAttachmentIdentity, key: KeyInPath) -> Response:
    """Create or update one; ``If-Match`` with the record's ``ETag`` guards against a lost update."""
    if key == 0:
        raise ProblemError(BAD_PARAMETER, "Key 0 names no record: POST /case-attachments makes one with a new key")
    await admit(identity.database)
    body = await read_json(request, identity.database)
    tags = _read_if_match(request)
    entry = body.content
    if isinstance(entry, dict):
        named = entry.setdefault("caseAttachment_Key", key)
        if type(named) is not int or named not in (key, 0):
            raise ProblemError(BAD_PARAMETER, f"caseAttachment_Key must be {key} as in the path, or left out")
        entry["caseAttachment_Key"] = key
    options = CaseAttachmentOptions(if_match=tags)
    item = await run_sync(parse_case_attachment, entry, body.lifted, options)
    return await _write(request, identity, item, body.sha256)


@router.delete("/case-attachments/{CaseAttachment_Key}", status_code=204, response_class=Response, responses=_ACCEPTED)
async def delete_one(request: Request, identity: CaseAttachmentIdentity, key: KeyInPath) -> Response:
    """Delete one; ``If-Match`` guards it like an update."""
    return await _delete(request, identity, DELETE, key)


@router.delete(
    "/case-attachments/{CaseAttachment_Key}/content", status_code=204, response_class=Response, responses=_ACCEPTED
)
async def delete_content(request: Request, identity: CaseAttachmentIdentity, key: KeyInPath) -> Response:
    """Remove the bytes of one, and keep its record; ``If-Match`` guards it like an update."""
    return await _delete(request, identity, DELETE_CONTENT, key)


@router.get("/case-attachments", response_model=Envelope)
async def get_many(
    request: Request,
    identity: CaseAttachmentIdentity,
    page: Annotated[int, Query(ge=1, le=2**31 - 1)] = 1,
    page_size: Annotated[int, Query(alias="pageSize", ge=1, le=1000)] = 100,
    sort_by: Annotated[str, Query(alias="sortBy", max_length=500)] = "",
    include: Annotated[str, Query(pattern="^(attachment)?$")] = "",
) -> Response:
    """List records; the totals are in the header ``x-pagination``. Contents come with ``include=attachment`` only."""
    found, total = await run_sync(records.read_page, identity.database, _read_order(sort_by), page, page_size)
    headers = {
        "x-pagination": json.dumps(
            {"TotalCount": total, "TotalPages": -(-total // page_size), "CurrentPage": page, "PageSize": page_size}
        )
    }
    shown = records.fit_contents(found, settings().list_contents if include else -1)
    if include and (omitted := sum(one.omitted for one in shown)):
        headers["Attachments-Omitted"] = str(omitted)
    return await run_sync(lambda: records.answer(request, shown, headers=headers))


@router.get("/case-attachments/{CaseAttachment_Key}", response_model=Envelope)
async def get_one(request: Request, identity: CaseAttachmentIdentity, key: KeyInPath) -> Response:
    """Read one; ``attachment`` holds its content in base64."""
    found = await run_sync(records.read_record, identity.database, key)
    if found is None:
        raise ProblemError(NOT_FOUND, f"No case attachment {key}")
    return await run_sync(lambda: records.answer(request, found, headers={"ETag": found.record.etag}))


@router.head("/case-attachments/{CaseAttachment_Key}/content", response_class=Response, responses=_CONTENT)
@router.get("/case-attachments/{CaseAttachment_Key}/content", response_class=Response, responses=_CONTENT)
async def get_content(request: Request, identity: CaseAttachmentIdentity, key: KeyInPath) -> Response:
    """Read the bytes of one, or a range of them."""
    found = await run_sync(records.read_record, identity.database, key)
    if found is None or found.blob is None:
        raise ProblemError(NOT_FOUND, f"No case attachment {key} with content")
    return await run_sync(content_response, request, found.blob, found.record.attachment_file)


async def _delete(request: Request, identity: Identity, kind: str, key: int) -> Response:
    if key == 0:
        raise ProblemError(NOT_FOUND, "No case attachment 0")
    payload: dict[str, object] = {"if_match": tags} if (tags := _read_if_match(request)) else {}
    await admit(identity.database)
    return await _write(request, identity, NewItem(kind, key, payload), b"")


async def _write(request: Request, identity: Identity, item: NewItem, body_sha256: bytes) -> Response:
    """Carry out a batch of one and answer with its record, or with what its item's status says."""
    wanted = read_preferences(request)
    view, (end,) = await submit(request, identity, [item], body_sha256, wanted)
    headers = envelopes.batch_headers(view, wanted)
    if end.outcome is None:
        return envelopes.respond(request, envelopes.envelope(None, envelopes.brief(view)), 202, headers)
    if end.outcome == "deleted" or (item.kind == DELETE_CONTENT and end.outcome == "updated"):
        return Response(status_code=204, headers=headers)
    if end.outcome not in ("created", "updated"):
        return envelopes.item_problem(request, view, end, headers)
    assert end.status is not None
    assert end.record_key is not None
    found = None
    try:
        found = await run_sync(records.read_record, identity.database, end.record_key)
    except NO_ANSWER_ERRORS as error:  # the write stands
        log_transient("record.not_echoed", error, key=end.record_key)
    if found is None:  # or another request has deleted it since
        return envelopes.respond(request, envelopes.envelope(None, envelopes.brief(view)), end.status, headers)
    headers["ETag"] = found.record.etag
    if end.status == 201:  # noqa: PLR2004
        headers["Location"] = f"/case-attachments/{end.record_key}"
    return await run_sync(_echo, request, found, end.status, headers, envelopes.brief(view))


def _echo(request: Request, found: records.Found, status: int, headers: dict[str, str], batch: BatchBrief) -> Response:
    """Answer with a record that was written; if its content can't be read back, without it: the write stands."""
    try:
        return records.answer(request, found, status, headers, batch)
    except (StoreUnavailableError, BlobMissingError) as error:
        log_transient("record.echoed_without_content", error, key=found.record.case_attachment_key)
        omitted = records.Found(found.record, None, omitted=True)
        return records.answer(request, omitted, status, headers | {"Attachments-Omitted": "1"}, batch)


def _read_if_match(request: Request) -> list[str]:
    """Return the entity tags of ``If-Match`` (RFC 9110 §13.1.1), as written."""
    tags = ",".join(request.headers.getlist("if-match")).strip()
    if not tags:
        return []
    found = re.findall(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"|\*', tags)
    if ",".join(found) != re.sub(r"\s", "", tags):
        raise ProblemError(BAD_PARAMETER, 'If-Match must be entity tags such as "1f-0", or *')
    return found


_SORTABLE = {
    (info.alias or name).lower(): name
    for name, info in CaseAttachmentRecord.model_fields.items()
    if name != "attachment"
}


def _read_order(sort_by: str) -> list[tuple[str, bool]]:
    """Return (column, descending) for each part of ``case_Key:desc,entry_Date``."""
    order = []
    for part in filter(None, (p.strip() for p in sort_by.split(","))):
        name, _, direction = part.partition(":")
        if name.strip().lower() not in _SORTABLE or direction.strip().lower() not in ("", "asc", "desc"):
            raise ProblemError(BAD_PARAMETER, f"sortBy: {part!r} is not a field, or a field with :asc or :desc")
        order.append((_SORTABLE[name.strip().lower()], direction.strip().lower() == "desc"))
    return order
