"""Shape the answers of the case-attachments API: envelopes, the 207 with its item statuses, and problems."""

from datetime import UTC, datetime
from urllib.parse import quote
from uuid import UUID

from fastapi import Request, Response
from pydantic import BaseModel

from api_stub.problems import ProblemType
from api_stub.request.preferences import Preferences, media_type
from schemas.answers import (
    Batch,
    BatchBrief,
    BatchState,
    Debug,
    Envelope,
    FieldError,
    ItemDetail,
    Problem,
)
from schemas.kinds import KINDS
from worker.ledger.read.report import BatchView, ItemView
from worker.ledger.read.why import ItemExplanation
from worker.ledger.uuid7 import new_batch_id

_PENDING = "Accepted: not done yet; ask again at the batch's href"

_INTERNAL_MEMBERS = ("version", "offset")  # of a payload; they say how the worker reads it


def respond(request: Request, answer: BaseModel, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return ``answer`` as JSON, in the media type that the client accepts."""
    return Response(answer.model_dump_json(by_alias=True), status, headers, media_type(request))


def problem(
    request: Request,
    type_: ProblemType,
    detail: str,
    headers: dict[str, str] | None = None,
    activity: str | None = None,
) -> Response:
    """Return the envelope of a request that is refused whole."""
    error = Problem(
        type=f"/docs#{type_.slug}",
        title=type_.title,
        status=type_.status,
        detail=detail,
        instance=quote(request.url.path),
    )
    answer = Envelope(data=None, error=error, debug=_debug(activity or str(new_batch_id())))
    return respond(request, answer, type_.status, headers)


def envelope(data: object, batch: BatchBrief | None = None) -> Envelope:
    """Return the envelope of an answer that went well."""
    return Envelope(data=data, error=None, debug=_debug(str(batch.id if batch else new_batch_id())), batch=batch)


def item_problem(request: Request, view: BatchView, item: ItemView, headers: dict[str, str]) -> Response:
    """Return the envelope of a single write that failed: its item's status, the reason in ``error``."""
    assert item.status is not None
    error = Problem(
        type=f"/docs#item-{item.outcome}",
        title=f"The item is {item.outcome}",
        status=item.status,
        detail=item.body or "",
        instance=quote(request.url.path),
        errors=[FieldError(**e) for e in item.errors] if item.errors else None,
    )
    answer = Envelope(data=None, error=error, debug=_debug(str(view.id)), batch=brief(view))
    return respond(request, answer, item.status, headers)


def statuses(request: Request, view: BatchView, items: list[ItemView], status: int, wanted: Preferences) -> Response:
    """Return the 207 answer of a batch, or its 202 twin while it is not done."""
    answer = envelope([item_status(item) for item in items], brief(view))
    return respond(request, answer, status, batch_headers(view, wanted))


def batch_headers(view: BatchView, wanted: Preferences) -> dict[str, str]:
    """Return the headers that speak of a batch: how it went, and where to ask while it is not done."""
    headers = {"Batch-Outcome": batch_outcome(view)}
    if view.finished_at is None or wanted.respond_async:
        headers["Location"] = href(view.id)
    if view.finished_at is None:
        headers["Retry-After"] = "1"
    if wanted.applied:
        headers["Preference-Applied"] = wanted.applied
    return headers


def batch_outcome(view: BatchView) -> str:
    """Return ``complete``, ``partial``, ``failed`` or ``pending``, so that a partial failure can't be missed."""
    if view.finished_at is None:  # also if nothing of it is pending: an open import may grow
        return "pending"
    failed = sum(view.counts.get(outcome, 0) for outcome in ("invalid", "failed", "cancelled"))
    if not failed and view.error is None:
        return "complete"
    return "failed" if failed == view.total else "partial"


def item_status(item: ItemView) -> dict[str, object]:
    """Return one entry of the 207 answer as `ItemStatus` has it; an open item is pending."""
    # A model of each, filled and spelled, takes four times as long.
    end: dict[str, object]
    if item.outcome is None:
        end = {"status": 202, "body": _PENDING, "position": item.position, "outcome": "pending", "retry": "never"}
    else:
        end = {
            "status": item.status,
            "body": item.body,
            "position": item.position,
            "outcome": item.outcome,
            "retry": item.retry,
        }
        if item.errors is not None:
            end["errors"] = item.errors
    if item.line is not None:
        end["line"] = item.line
    return {"id": [ident(item)], **end}


def ident(item: ItemView) -> dict[str, object]:
    """Return which record or file the item is about, as far as that is known, as `IdPair` has it."""
    kind = KINDS[item.kind]
    if kind.ordered_by == "collection":
        # The key of a collection is negative and no file's id.
        return {"key": kind.id_field, "value": max(item.record_key or 0, 0)}
    key = item.record_key if item.record_key is not None else item.key
    return {"key": kind.id_field, "value": key or 0}


def item_detail(found: ItemExplanation) -> ItemDetail:
    """Return one item with its story."""
    return ItemDetail.model_validate(
        {
            **item_status(found.item),
            "kind": found.item.kind,
            "payload": {name: value for name, value in found.payload.items() if name not in _INTERNAL_MEMBERS},
            "content_size": found.content_size,
            "accepted_at": found.accepted_at,
            "attempts": found.attempts,
            "deaths": found.deaths,
            "waits_for": found.waits_for,
            "retried_as": found.retried_as,
        }
    )


def brief(view: BatchView) -> BatchBrief:
    """Return the batch in short."""
    return BatchBrief.model_validate(
        {"id": view.id, "state": view.state, "total": view.total, "counts": view.counts, "href": href(view.id)}
    )


def batch(view: BatchView) -> Batch:
    """Return the bare batch object."""
    rate, eta = _estimate_rate(view)
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
            "children": view.children,
            "cancelRequested": view.cancel_requested_at is not None,
            "paused": view.paused_at is not None and view.finished_at is None,
            "error": view.error,
        }
    )


def _estimate_rate(view: BatchView) -> tuple[float | None, float | None]:
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
