"""Batches: how they stand, what became of their items, and how to end or repeat them."""

from datetime import timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

from anyio.to_thread import run_sync
from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from api_stub.auth.identity import AnyIdentity, Identity
from api_stub.problems import BAD_PARAMETER, CONFLICT, NOT_FOUND, ProblemError
from api_stub.request.backpressure import admit
from api_stub.request.preferences import Preferences, read_preferences
from api_stub.response import envelopes, lines
from api_stub.response.openapi import EITHER_CREDENTIALS, refusals
from api_stub.submit.submit import ApplicationState
from schemas.answers import Batch, BatchList, BatchState, Envelope, ItemDetail, Outcome
from worker.database import transaction
from worker.execution.cancel import cancel_batch
from worker.ledger.model import Accepted
from worker.ledger.read import report
from worker.ledger.read.report import BatchView, ItemView
from worker.ledger.read.why import ItemExplanation, explain_item
from worker.ledger.retry import ForgottenError, RetryRequest, retry
from worker.log import log_event
from worker.verdicts import OUTCOMES

router = APIRouter(prefix="/batches", tags=["batches"], dependencies=EITHER_CREDENTIALS, responses=refusals(409))
ItemPosition = Annotated[int, Path(ge=0, le=2**31 - 1)]
_LINES: dict[int | str, dict[str, Any]] = {
    200: {"description": "all of it as lines, if that is accepted", "content": {lines.NDJSON: {}, lines.CSV: {}}}
}
_EVENTS: dict[int | str, dict[str, Any]] = {
    200: {"content": {lines.EVENTS: {}}},
    204: {"description": "the end was seen before, by Last-Event-ID"},
}
_NO_PREFERENCES = Preferences(timedelta(0))
_ENDED: dict[int | str, dict[str, Any]] = {200: {"model": Batch, "description": "nothing of it is open"}}


@router.get("", response_model=BatchList)
async def get_batches(
    request: Request,
    identity: AnyIdentity,
    state: BatchState | Literal[""] = "",
    outcome: Outcome | Literal[""] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    after: UUID | None = None,
) -> Response:
    """List batches, newest first; ``next`` is the ``after`` of the next page, null on the last."""

    def read() -> list[BatchView]:
        with transaction(identity.database) as session:
            return report.list_batches(session, state=state or None, outcome=outcome or None, after=after, limit=limit)

    found = await run_sync(read)
    following = found[-1].id if len(found) == limit else None
    return envelopes.respond(request, BatchList(batches=[envelopes.batch(view) for view in found], next=following))


@router.get("/{batch_id}", response_model=Batch)
async def get_batch(request: Request, identity: AnyIdentity, batch_id: UUID) -> Response:
    """Return the batch; ``Prefer: wait=N`` holds the answer until its end."""
    wanted = read_preferences(request)
    view = await run_sync(_read_batch, identity.database, batch_id)
    view = await _wait_for_end(request, identity.database, view, wanted)
    return envelopes.respond(request, envelopes.batch(view), headers=envelopes.batch_headers(view, wanted))


@router.get("/{batch_id}/report", response_model=Envelope, status_code=207, responses=_LINES)
async def get_report(
    request: Request,
    identity: AnyIdentity,
    batch_id: UUID,
    after: Annotated[int, Query(ge=-1, le=2**31 - 1)] = -1,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
    outcome: Annotated[str, Query(max_length=200)] = "",
) -> Response:
    """Return the 207 answer of any batch, a page at a time; all of it as NDJSON or CSV if that is accepted."""
    outcomes = _read_outcomes(outcome)
    view = await run_sync(_read_batch, identity.database, batch_id)
    if kind := lines.choose_format(request.headers.get("accept", "")):
        body = lines.report_lines(identity.database, batch_id, kind, outcomes, after)
        return StreamingResponse(body, headers={"Batch-Outcome": envelopes.batch_outcome(view)}, media_type=kind)

    def read() -> list[ItemView]:
        with transaction(identity.database) as session:
            return report.read_items(session, batch_id, after=after, limit=limit, outcomes=outcomes)

    page = await run_sync(read)
    answer = envelopes.statuses(request, view, page, 207, _NO_PREFERENCES)
    if len(page) == limit:
        link = request.url.include_query_params(after=page[-1].position)
        answer.headers["Link"] = f'<{link.path}?{link.query}>; rel="next"'
    return answer


@router.get("/{batch_id}/items/{position}", response_model=ItemDetail)
async def get_item(request: Request, identity: AnyIdentity, batch_id: UUID, position: ItemPosition) -> Response:
    """Return one item: its payload without content, each attempt at it, and what it waits for."""

    def read() -> ItemExplanation | None:
        with transaction(identity.database) as session:
            return explain_item(session, batch_id, position)

    found = await run_sync(read)
    if found is None:
        raise ProblemError(NOT_FOUND, f"No item {position} of a batch {batch_id}")
    return envelopes.respond(request, envelopes.item_detail(found))


@router.get("/{batch_id}/events", response_class=StreamingResponse, responses=_EVENTS)
async def get_events(request: Request, identity: AnyIdentity, batch_id: UUID) -> Response:
    """Return progress as server-sent events, then ``end``; resumable with ``Last-Event-ID``."""
    last = request.headers.get("last-event-id", "")
    if last == lines.END:
        return Response(status_code=204)  # tells an EventSource not to come back
    view = await run_sync(_read_batch, identity.database, batch_id)
    state: ApplicationState = request.app.state.application
    return StreamingResponse(
        lines.events(state.waiters, identity.database, view, last),
        media_type=lines.EVENTS,
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


@router.post("/{batch_id}/cancel", response_model=Batch, status_code=202, responses=_ENDED)
async def post_cancel(request: Request, identity: AnyIdentity, batch_id: UUID) -> Response:
    """Cancel: what has not started will not, what has, finishes. 200 once nothing is open, else 202."""
    view = await run_sync(_cancel_batch, identity, batch_id)
    return await _respond_later(request, identity.database, view, ended_status=200)


@router.post("/{batch_id}/retry", response_model=Batch, status_code=202)
async def post_retry(
    request: Request, identity: AnyIdentity, batch_id: UUID, force: Literal["true", "false"] = "false"
) -> Response:
    """Run the failed items again that may run as they are, as a child batch; ``force=true``: overtaken ones, too."""
    await admit(identity.database)
    accepted = await run_sync(_retry_batch, identity.database, RetryRequest(batch_id, identity.name, force == "true"))
    state: ApplicationState = request.app.state.application
    state.publisher.publish(identity.database, accepted.messages)
    view = await run_sync(_read_batch, identity.database, accepted.batch_id)
    return await _respond_later(request, identity.database, view, ended_status=202)


async def _respond_later(request: Request, database: str, view: BatchView, ended_status: int) -> Response:
    """Return the batch once the time that the client asked for is over: with 202 while it is open."""
    wanted = read_preferences(request)
    view = await _wait_for_end(request, database, view, wanted)
    headers = {"Location": envelopes.href(view.id)} | envelopes.batch_headers(view, wanted)
    status = 202 if view.finished_at is None else ended_status
    return envelopes.respond(request, envelopes.batch(view), status, headers)


async def _wait_for_end(request: Request, database: str, view: BatchView, wanted: Preferences) -> BatchView:
    """Return the batch at its end, or as it stands after the time that the client asked for, if it asked."""
    if view.finished_at is not None or not wanted.applied or not wanted.wait:
        return view
    state: ApplicationState = request.app.state.application
    await state.waiters.until_ended(database, view.id, wanted.wait)
    return await run_sync(_read_batch, database, view.id)


def _read_batch(database: str, batch_id: UUID) -> BatchView:
    with transaction(database) as session:
        view = report.read_batch(session, batch_id)
    if view is None:
        raise ProblemError(NOT_FOUND, f"No batch {batch_id}")
    return view


def _read_outcomes(wanted: str) -> list[str]:
    names = [name.strip() for name in wanted.split(",") if name.strip()]
    for name in names:
        if name not in (*OUTCOMES, "pending"):
            raise ProblemError(BAD_PARAMETER, f"outcome: {name!r} is none of {', '.join(OUTCOMES)}, pending")
    return names


def _cancel_batch(identity: Identity, batch_id: UUID) -> BatchView:
    _read_batch(identity.database, batch_id)
    if cancel_batch(identity.database, batch_id):
        log_event("batch.cancel_requested", database=identity.database, batch=batch_id, caller=identity.name)
    return _read_batch(identity.database, batch_id)


def _retry_batch(database: str, wanted: RetryRequest) -> Accepted:
    _read_batch(database, wanted.parent)
    try:
        with transaction(database) as session:
            accepted = retry(session, wanted)
    except ForgottenError as error:
        raise ProblemError(CONFLICT, f"It is too late for a retry: {error}, and is being forgotten") from error
    if accepted is None:
        raise ProblemError(
            CONFLICT,
            "No failed item is left to be retried: each was retried already, or has to be mended, as the report says. "
            "What was cancelled is its sender's to send again",
        )
    log_event("batch.accepted", database=database, batch=accepted.batch_id, parent=wanted.parent, caller=wanted.caller)
    return accepted
