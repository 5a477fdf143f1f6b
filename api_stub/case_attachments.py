"""Family A: the paths of case attachments."""

from typing import Annotated

import anyio.to_thread
from fastapi import APIRouter, Depends, Path, Request, Response

from api_stub import answers, intake
from api_stub.batching import submit
from api_stub.bodies import read_json
from api_stub.contents import content_response
from api_stub.identity import Identity, identify
from api_stub.preferences import preferences
from api_stub.problems import NOT_A_LIST, NOT_FOUND, TOO_LARGE, ProblemError
from api_stub.records import read_record, record_json
from schemas.answers import Envelope
from schemas.case_attachment import CaseAttachment
from worker.settings import settings

router = APIRouter(tags=["case attachments"])
Known = Annotated[Identity, Depends(identify)]
KeyInPath = Annotated[int, Path(alias="CaseAttachment_Key", ge=0, le=2**31 - 1)]

_BATCH_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"type": "array", "items": CaseAttachment.model_json_schema(by_alias=True)}}
        },
    }
}


@router.put("/case-attachments-batch", status_code=207, response_model=Envelope, openapi_extra=_BATCH_BODY)
async def put_batch(request: Request, identity: Known) -> Response:
    """Create or update many: one entry of the answer for each item, in the order of the request."""
    body = await read_json(request)
    if not isinstance(body.content, list):
        raise ProblemError(NOT_A_LIST, "Send a bare JSON array of case attachments")
    if len(body.content) > settings().max_items:
        raise ProblemError(TOO_LARGE, f"A batch has at most {settings().max_items} items; send several")
    new = await anyio.to_thread.run_sync(intake.items, body.content)
    wanted = preferences(request.headers.getlist("prefer"))
    view, ends = await submit(request, identity, new, body.sha256, wanted)
    status = 202 if wanted.respond_async and view.finished_at is None else 207
    return answers.statuses(request, view, ends, status, wanted)


@router.get("/case-attachments/{CaseAttachment_Key}", response_model=Envelope)
async def get_one(request: Request, identity: Known, key: KeyInPath) -> Response:
    """Read one; ``attachment`` holds its content in base64."""
    found = await anyio.to_thread.run_sync(read_record, identity.database, key)
    if found is None:
        raise ProblemError(NOT_FOUND, f"No case attachment {key}")
    record, blob = found
    return answers.data(
        request, await anyio.to_thread.run_sync(record_json, record, blob), headers={"ETag": record.etag}
    )


@router.api_route("/case-attachments/{CaseAttachment_Key}/content", methods=["GET", "HEAD"])
async def get_content(request: Request, identity: Known, key: KeyInPath) -> Response:
    """Read the bytes of one."""
    found = await anyio.to_thread.run_sync(read_record, identity.database, key)
    if found is None or found[1] is None:
        raise ProblemError(NOT_FOUND, f"No case attachment {key} with content")
    record, blob = found
    assert blob is not None
    return await anyio.to_thread.run_sync(content_response, request, blob, record.attachment_file)
