"""Batches: how they stand and what became of their items."""

from typing import Annotated
from uuid import UUID

import anyio.to_thread
from fastapi import APIRouter, Depends, Query, Request, Response

from api_stub import answers
from api_stub.batching import Rooms
from api_stub.identity import Identity, identify
from api_stub.preferences import Preferences, media_type, preferences
from api_stub.problems import NOT_FOUND, ProblemError
from schemas.answers import Batch, Envelope
from worker.database import transaction
from worker.ledger import report
from worker.ledger.report import BatchView, ItemView

router = APIRouter(tags=["batches"])
Known = Annotated[Identity, Depends(identify)]


@router.get("/batches/{batch_id}", response_model=Batch)
async def get_batch(request: Request, identity: Known, batch_id: UUID) -> Response:
    """Return the batch; ``Prefer: wait=N`` holds the answer until its end."""
    wanted = preferences(request.headers.getlist("prefer"))
    view = await anyio.to_thread.run_sync(_view, identity.database, batch_id)
    if view.finished_at is None and wanted.applied and wanted.wait:
        rooms: Rooms = request.app.state.rooms
        await rooms.waiting.until_ended(identity.database, batch_id, wanted.wait)
        view = await anyio.to_thread.run_sync(_view, identity.database, batch_id)
    return Response(
        answers.batch(view).model_dump_json(by_alias=True),
        headers=answers.batch_headers(view, wanted),
        media_type=media_type(request.headers.get("accept")),
    )


@router.get("/batches/{batch_id}/report", response_model=Envelope, status_code=207)
async def get_report(
    request: Request,
    identity: Known,
    batch_id: UUID,
    after: Annotated[int, Query(ge=-1)] = -1,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
) -> Response:
    """Return the 207 answer of any batch, a page at a time: items after position ``after``."""
    view, page = await anyio.to_thread.run_sync(_page, identity.database, batch_id, after, limit)
    return answers.statuses(request, view, page, 207, Preferences(wait=preferences(()).wait))


def _view(database: str, batch_id: UUID) -> BatchView:
    with transaction(database) as session:
        view = report.view(session, batch_id)
    if view is None:
        raise ProblemError(NOT_FOUND, f"No batch {batch_id}")
    return view


def _page(database: str, batch_id: UUID, after: int, limit: int) -> tuple[BatchView, list[ItemView]]:
    view = _view(database, batch_id)
    with transaction(database) as session:
        return view, report.items(session, batch_id, after=after, limit=limit)
