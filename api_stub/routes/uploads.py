"""Presigned uploads: content of any size goes straight to the object store, and an item names it."""

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response

from api_stub.auth.identity import AnyIdentity
from api_stub.request.backpressure import admit
from api_stub.response.envelopes import respond
from api_stub.response.openapi import EITHER_CREDENTIALS, refusals
from schemas.answers import Upload
from worker.blobs.client_uploads import open_upload

router = APIRouter(tags=["uploads"], dependencies=EITHER_CREDENTIALS, responses=refusals())


@router.post("/uploads", status_code=201, response_model=Upload)
async def post_upload(request: Request, identity: AnyIdentity) -> Response:
    """Open an upload: PUT the bytes to its url before it expires, then send its ``attachment`` in one item."""
    await admit(identity.database)
    opened = await run_sync(open_upload, identity.database, identity.name)
    answer = Upload(
        id=opened.id,
        method="PUT",
        url=opened.url,
        expires_at=opened.expires_at,
        attachment=f"upload:{opened.id}",
    )
    # The url is a credential of its own.
    return respond(request, answer, 201, {"Cache-Control": "no-store"})
