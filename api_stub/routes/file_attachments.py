"""Family B: the file attachments of an item, and the links that open them."""

import hashlib
from dataclasses import replace
from typing import Annotated, Any, TypeVar

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ValidationError

from api_stub.auth.identity import Identity, identify_files
from api_stub.problems import METHOD, NOT_A_LIST, NOT_FOUND, TOO_LARGE, ProblemError
from api_stub.request.backpressure import admit
from api_stub.request.entry_content import parse_file_actions
from api_stub.request.file_urls import JSON, PAGES, Call, read_call, read_link
from api_stub.request.json_body import Body, read_json
from api_stub.request.preferences import read_preferences
from api_stub.response import envelopes, files
from api_stub.response.download import content_response
from api_stub.response.files import Asked, Done
from api_stub.response.openapi import EITHER_CREDENTIALS
from api_stub.submit.submit import submit
from schemas.file_attachments import FileAnswer, FileProblem, FileQuery, FileUpdate
from worker.database import NO_ANSWER_ERRORS, transaction
from worker.errors import BlobMissingError, StoreUnavailableError
from worker.kinds.file.replacement import MAX_ENTRIES
from worker.kinds.file.rows import Collection, FoundFile, find_file
from worker.kinds.validation import describe_errors, field_errors
from worker.log import log_transient
from worker.settings import settings

ModelT = TypeVar("ModelT", bound=BaseModel)

_DESCRIPTIONS = {
    400: "a malformed header, or no database known",
    401: "authentication failed",
    403: "no such database for these credentials",
    404: "no such function",
    408: "the body came too slowly",
    413: "too many actions or bytes",
    422: "the Idempotency-Key was used for another request",
    429: "too many wrong passwords at once",
    500: "our fault; the log has it under the id in msg",
    503: "a server behind us does not answer, or there is no room for more work; try again after Retry-After",
}
_REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": FileProblem, "description": text} for status, text in _DESCRIPTIONS.items()
}
_ACCEPTED: dict[int | str, dict[str, Any]] = {202: {"model": FileAnswer, "description": "accepted, not done yet"}}
router = APIRouter(tags=["file attachments"])
FileIdentity = Annotated[Identity, Depends(identify_files)]


def _json_request(model: type[BaseModel], *, required: bool) -> dict[str, object]:
    schema = model.model_json_schema()
    return {"requestBody": {"required": required, "content": {"application/json": {"schema": schema}}}}


@router.post(
    "/jsonapi/UpdateFileAttachments/{table}/{item}",
    response_model=FileAnswer | FileProblem,
    responses=_REFUSALS | _ACCEPTED,
    dependencies=EITHER_CREDENTIALS,
    openapi_extra=_json_request(FileUpdate, required=True),
)
async def post_update(request: Request, identity: FileIdentity, table: str, item: str) -> Response:  # noqa: ARG001  as below
    """Add, update and delete files of one item: one action each, in the order of the list.

    Also as ``/tmtrack/tmtrack.dll``, the query being
    ``JSONPage&command=jsonapi&JSON_Func=UpdateFileAttachments&JSON_P1=table&JSON_P2=item``.
    """
    return await _call_function(request, identity)


_GET: dict[str, Any] = {
    "path": "/jsonapi/GetFileAttachments/{table}/{item}",
    "response_model": FileAnswer | FileProblem,
    "responses": _REFUSALS,
    "dependencies": EITHER_CREDENTIALS,
}


@router.get(**_GET)
@router.post(**_GET, openapi_extra=_json_request(FileQuery, required=False))
async def get_files(request: Request, identity: FileIdentity, table: str, item: str) -> Response:  # noqa: ARG001  as below
    """Return the files of one item, with their contents unless those are too large in all.

    Also as ``/tmtrack/tmtrack.dll``, the query being
    ``JSONPage&command=jsonapi&JSON_Func=GetFileAttachments&JSON_P1=table&JSON_P2=item``.
    The ``url`` of a file opens its bytes, with the same credentials.
    """
    return await _call_function(request, identity)


# Names in any case and with encoded slashes, which the two patterns above don't match.
@router.api_route(JSON + "{_call:path}", methods=["GET", "POST"], include_in_schema=False)
async def call(request: Request, identity: FileIdentity) -> Response:
    """Carry out the function that the path names."""
    return await _call_function(request, identity)


async def page(request: Request, identity: FileIdentity) -> Response:
    """Carry out the function that the query names, or open the bytes of the file that it names."""
    link = read_link(request)
    if link is None:
        return await _call_function(request, identity)
    if request.method == "POST":
        raise ProblemError(METHOD, "A link opens by GET", {"Allow": "GET, HEAD"})
    for file, blob in await run_sync(_find_files, identity.database, link.pair):
        if file.id == link.id:
            return await run_sync(content_response, request, blob, file.file_name)
    raise ProblemError(NOT_FOUND, f"No file {link.id} of that item")


for _path in PAGES:
    router.add_api_route(_path, page, methods=["GET", "HEAD", "POST"], include_in_schema=False)


async def _call_function(request: Request, identity: Identity) -> Response:
    asked = read_call(request)
    if asked.function == "getfileattachments":
        return await _get_files(request, identity, asked)
    if asked.function != "updatefileattachments":
        raise ProblemError(NOT_FOUND, "The functions are UpdateFileAttachments and GetFileAttachments")
    if request.method != "POST":
        raise ProblemError(METHOD, "UpdateFileAttachments takes POST", {"Allow": "POST"})
    return await _update_files(request, identity, asked)


async def _get_files(request: Request, identity: Identity, asked: Call) -> Response:
    body = await read_json(request, identity.database, lenient=True)
    sent = _parse_body(FileQuery, body)
    found = await run_sync(_find_files, identity.database, asked.pair)
    wanted = Asked(identity.database, sent.wanted, include=sent.include_file is not False)
    return await run_sync(files.answer, request, found, wanted)


async def _update_files(request: Request, identity: Identity, asked: Call) -> Response:
    await admit(identity.database)
    body = await read_json(request, identity.database, lenient=True)
    sent = _parse_body(FileUpdate, body)
    if len(sent.actions) > settings().max_items:
        raise ProblemError(TOO_LARGE, f"A request has at most {settings().max_items} actions; send several")
    if sent.delete_all and len(sent.actions) > MAX_ENTRIES:
        raise ProblemError(NOT_A_LIST, f"deleteAll takes at most {MAX_ENTRIES} entries; send the others after it")
    items = await run_sync(parse_file_actions, asked.pair, sent, body.lifted)
    wanted = read_preferences(request)
    digest = _request_digest(asked, body)
    view, ends = await submit(request, identity, items, digest, wanted, kind="file_attachments")
    found: list[FoundFile] | None = None
    try:
        found = await run_sync(_find_files, identity.database, asked.pair)
    except NO_ANSWER_ERRORS as error:
        # It is accepted: anything that says otherwise makes the client send it twice.
        log_transient("files.not_read", error, database=identity.database, batch=view.id)
    labels = [files.label(item) for item in items[len(items) - len(sent.actions) :]]
    accepted = view.finished_at is None or found is None or (wanted.respond_async and not wanted.wait)
    done = Done(view, ends, labels, accepted)
    shown = Asked(identity.database, sent.wanted, include=sent.include_file is True)
    headers = envelopes.batch_headers(view, wanted)
    try:
        return await run_sync(files.answer, request, found or [], shown, done, headers)
    except (StoreUnavailableError, BlobMissingError) as error:
        # What is done is done, so the answer says that, if without the contents.
        log_transient("files.contents_left_out", error, database=identity.database, batch=view.id)
        return await run_sync(files.answer, request, found or [], replace(shown, include=False), done, headers)


def _parse_body(model: type[ModelT], body: Body) -> ModelT:
    """Return what the body says as a whole; its actions are looked at one by one, later."""
    if not isinstance(body.content, dict):
        raise ProblemError(NOT_A_LIST, "Send a JSON object")
    try:
        return model.model_validate(body.content, by_alias=True, by_name=False)
    except ValidationError as error:
        raise ProblemError(NOT_A_LIST, describe_errors(field_errors(error))) from error


def _request_digest(asked: Call, body: Body) -> bytes:
    """Return what tells whether two requests ask the same; in one of the forms the path does not say of what."""
    return hashlib.sha256(f"{asked.function} {asked.pair.key} ".encode() + body.sha256).digest()


def _find_files(database: str, pair: Collection) -> list[FoundFile]:
    with transaction(database) as session:
        return find_file(session, pair)
