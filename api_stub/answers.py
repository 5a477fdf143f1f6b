"""Shape what the ledger says into the answers of family A."""

from datetime import UTC, datetime
from urllib.parse import quote
from uuid import UUID

from fastapi import Request, Response

from api_stub.preferences import Preferences, media_type
from api_stub.problems import Sort
from schemas.answers import (
    Batch,
    BatchBrief,
    BatchState,
    Debug,
    Envelope,
    IdPair,
    ItemStatus,
    Problem,
)
from worker.ledger.accept import new_batch_id
from worker.ledger.report import BatchView, ItemView

_PENDING = "Accepted: not done yet; ask again at the batch's href"


def respond(request: Request, envelope: Envelope, status: int, headers: dict[str, str] | None = None) -> Response:
    """Return ``envelope`` as JSON, in the media type that the client takes."""
    kind = media_type(request.headers.get("accept"))
    return Response(envelope.model_dump_json(by_alias=True), status, headers, kind)


def problem(request: Request, sort: Sort, detail: str, headers: dict[str, str] | None = None) -> Response:
    """Return the envelope of a request that is refused whole."""
    activity = str(new_batch_id())
    error = Problem(
        type=f"/docs#{sort.slug}", title=sort.title, status=sort.status, detail=detail, instance=quote(request.url.path)
    )
    return respond(request, Envelope(data=None, error=error, debug=_debug(activity)), sort.status, headers)


def data(request: Request, content: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a record, or records, in the envelope."""
    return respond(request, Envelope(data=content, error=None, debug=_debug(str(new_batch_id()))), status, headers)


def statuses(request: Request, view: BatchView, items: list[ItemView], status: int, wanted: Preferences) -> Response:
    """Return the 207 answer of a batch, or its 202 twin while it is not done."""
    envelope = Envelope(
        data=[item_status(item) for item in items], error=None, debug=_debug(str(view.id)), batch=brief(view)
    )
    return respond(request, envelope, status, batch_headers(view, wanted))


def batch_headers(view: BatchView, wanted: Preferences) -> dict[str, str]:
    """Return the headers that speak of a batch: how it went, and where to ask while it is not done."""
    headers = {"Batch-Outcome": batch_outcome(view)}
    if view.finished_at is None:
        headers |= {"Location": href(view.id), "Retry-After": "1"}
    if wanted.applied:
        headers["Preference-Applied"] = wanted.applied
    return headers


def batch_outcome(view: BatchView) -> str:
    """Return ``complete``, ``partial``, ``failed`` or ``pending``, so that a partial failure can't be missed."""
    if view.counts.get("pending"):
        return "pending"
    bad = sum(view.counts.get(outcome, 0) for outcome in ("invalid", "failed", "cancelled"))
    if not bad:
        return "complete"
    return "failed" if bad == view.total else "partial"


def item_status(item: ItemView) -> ItemStatus:
    """Return one entry of the 207 answer; an open item is pending."""
    key = item.record_key if item.record_key is not None else item.key
    ident = [IdPair(key="caseAttachment_Key", value=key or 0)]
    if item.outcome is None:
        return ItemStatus(id=ident, status=202, body=_PENDING, position=item.position, outcome="pending", retry="never")
    return ItemStatus.model_validate(
        {
            "id": ident,
            "status": item.status,
            "body": item.body,
            "position": item.position,
            "outcome": item.outcome,
            "retry": item.retry,
            "errors": item.errors,
        }
    )


def brief(view: BatchView) -> BatchBrief:
    """Return the batch in short."""
    return BatchBrief.model_validate(
        {"id": view.id, "state": view.state, "total": view.total, "counts": view.counts, "href": href(view.id)}
    )


def batch(view: BatchView) -> Batch:
    """Return the bare batch object."""
    rate, eta = _pace(view)
    state: BatchState = view.state  # type: ignore[assignment]
    return Batch.model_validate(
        {
            "id": view.id,
            "state": state,
            "total": view.total,
            "counts": view.counts,
            "href": href(view.id),
            "kind": view.kind,
            "caller": view.caller,
            "acceptedAt": view.accepted_at,
            "startedAt": view.started_at,
            "finishedAt": view.finished_at,
            "rate": rate,
            "eta": eta,
            "parent": view.parent_id,
            "cancelRequested": view.cancel_requested_at is not None,
        }
    )


def _pace(view: BatchView) -> tuple[float | None, float | None]:
    """Return items a second and the seconds left, while the batch runs."""
    if view.started_at is None or view.finished_at is not None:
        return None, None
    pending = view.counts.get("pending", 0)
    elapsed = (datetime.now(UTC) - view.started_at).total_seconds()
    rate = (view.total - pending) / elapsed if elapsed > 0 else 0.0
    return round(rate, 1), round(pending / rate, 1) if rate else None


def href(batch_id: UUID) -> str:
    """Return where a batch can be asked for."""
    return f"/batches/{batch_id}"


def _debug(activity: str) -> Debug:
    return Debug(activity_id=activity)
