"""Submit items as a batch, and wait for its end as long as the client prefers."""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import UUID

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import Request

from api_stub.auth.identity import Identity
from api_stub.problems import BAD_PARAMETER, IDEMPOTENCY, ProblemError, sentence
from api_stub.request.entry_content import without_upload
from api_stub.request.preferences import Preferences
from api_stub.submit.publisher import Publisher
from api_stub.submit.waiters import Waiters
from worker.blobs import client_uploads
from worker.blobs.spool import Spooled
from worker.broker.notifications import ItemVerdicts
from worker.database import NO_ANSWER_ERRORS, POOL_SIZE, autocommit
from worker.errors import IdempotencyConflictError
from worker.kinds.file.replacement import check_replacement
from worker.ledger.accept import UploadsUsedError, accept, find_replayed
from worker.ledger.model import Accepted, NewBatch, NewItem
from worker.ledger.read import report
from worker.ledger.read.report import BatchView, ItemView
from worker.log import log_event, log_transient
from worker.settings import settings
from worker.verdicts import Verdict

# One for each database, so that a database that hangs leaves threads to the others.
_thread_limiters: defaultdict[str, CapacityLimiter] = defaultdict(lambda: CapacityLimiter(POOL_SIZE))


@dataclass(frozen=True, slots=True)
class ApplicationState:
    """The state of an API process: the waiters and the publisher."""

    waiters: Waiters
    publisher: Publisher


async def submit(
    request: Request,
    identity: Identity,
    items: Sequence[NewItem],
    body_sha256: bytes,
    preferences: Preferences,
    kind: str = "case_attachments",
) -> tuple[BatchView, list[ItemView]]:
    """Accept ``items`` as one batch, publish its chunks, wait as preferred, and return its state then.

    Raises:
        ProblemError: 422, the Idempotency-Key was used for another request.

    """
    key = _idempotency_key(request)
    fingerprint = None if key is None else _fingerprint(request, body_sha256)
    new = NewBatch(kind, identity.name, items, key, fingerprint)
    state: ApplicationState = request.app.state.application
    try:
        accepted, new = await run_sync(_accept, identity.database, new, limiter=_thread_limiters[identity.database])
    except IdempotencyConflictError as conflict:
        raise ProblemError(IDEMPOTENCY, sentence(conflict)) from conflict
    finally:
        for spool in {item.content.spool for item in items if isinstance(item.content, Spooled)}:
            spool.close()
    state.publisher.publish(identity.database, accepted.messages, small=_is_small(accepted, new))
    if accepted.messages and not preferences.wait:
        return _build_accepted(accepted, new)  # known without reading it
    if preferences.wait and (accepted.messages or accepted.replayed):
        verdicts = await state.waiters.until_ended(identity.database, accepted.batch_id, preferences.wait)
        if not accepted.replayed and (ended := _build_ended(accepted, new, verdicts)):
            return ended
    try:
        return await run_sync(_read, identity.database, accepted.batch_id, limiter=_thread_limiters[identity.database])
    except NO_ANSWER_ERRORS as fault:
        # It is accepted: with an error, the client would send it again.
        log_transient("batch.not_read", fault, database=identity.database, batch=accepted.batch_id)
        return _build_accepted(accepted, new)


def _is_small(accepted: Accepted, new: NewBatch) -> bool:
    """Return whether the batch is one small chunk, without contents that must be stored first."""
    limit = settings().small_batch
    return len(accepted.messages) == 1 and len(new.items) <= limit and not any(item.content for item in new.items)


def _build_accepted(accepted: Accepted, new: NewBatch) -> tuple[BatchView, list[ItemView]]:
    """Return an accepted batch without reading it: its valid items are open."""
    items = [_build_item(position, item, item.verdict) for position, item in enumerate(new.items)]
    counts = {"invalid": accepted.counted_invalid, "pending": len(items) - accepted.counted_invalid}
    return _build_batch(accepted, new, {outcome: n for outcome, n in counts.items() if n}, None), items


def _build_ended(accepted: Accepted, new: NewBatch, verdicts: ItemVerdicts) -> tuple[BatchView, list[ItemView]] | None:
    """Return an ended batch without reading it; None if ``verdicts`` lack a valid item."""
    every = [item.verdict or verdicts.get(position) for position, item in enumerate(new.items)]
    known = [end for end in every if end is not None]
    if len(known) < len(new.items):
        return None
    items = [_build_item(n, item, end) for n, (item, end) in enumerate(zip(new.items, known, strict=True))]
    return _build_batch(accepted, new, Counter(end.outcome for end in known), datetime.now(UTC)), items


def _build_batch(accepted: Accepted, new: NewBatch, counts: dict[str, int], finished_at: datetime | None) -> BatchView:
    return BatchView(
        id=accepted.batch_id,
        kind=new.kind,
        caller=new.caller,
        total=len(new.items),
        accepted_at=datetime.now(UTC),
        started_at=None,
        finished_at=finished_at,
        cancel_requested_at=None,
        parent_id=None,
        children=[],
        counts=counts,
    )


def _build_item(position: int, item: NewItem, end: Verdict | None) -> ItemView:
    facts = (None,) * 6 if end is None else (end.record_key, end.outcome, end.status, end.body, end.retry, end.errors)
    return ItemView(position, item.kind, item.key, *facts)


def _accept(database: str, new: NewBatch) -> tuple[Accepted, NewBatch]:
    """Take uploads and accept ``new``; return it with the items as accepted, invalid if an upload was not available."""
    if new.idempotency_key and any(item.upload_id for item in new.items):
        with autocommit(database) as session:
            replayed = find_replayed(session, new)
        if replayed is not None:  # a repeated request must not take its uploads again
            return replayed, new
    taken = [_take_upload(database, new.caller, item) for item in new.items]
    accepted, new = _accept_available(database, replace(new, items=check_replacement(taken)))
    if not accepted.replayed:
        log_event("batch.accepted", database=database, batch=accepted.batch_id, items=len(new.items), caller=new.caller)
    return accepted, new


def _take_upload(database: str, caller: str, item: NewItem) -> NewItem:
    """Return ``item`` with the stored content of its upload, or invalid if the upload is not available."""
    if item.upload_id is None:
        return item
    try:
        return replace(item, stored=client_uploads.take_upload(database, caller, item.upload_id))
    except client_uploads.InvalidUploadError as error:
        return without_upload(item, str(error))


def _accept_available(database: str, new: NewBatch) -> tuple[Accepted, NewBatch]:
    """Accept ``new``, its items invalid whose uploads other items have used meanwhile."""
    while True:
        try:
            return accept(database, new), new
        except UploadsUsedError as error:
            items = list(new.items)
            for position in error.positions:
                upload_id = items[position].upload_id
                items[position] = without_upload(items[position], f"upload {upload_id} was used already")
            new = replace(new, items=check_replacement(items))


def _read(database: str, batch_id: UUID) -> tuple[BatchView, list[ItemView]]:
    with autocommit(database) as session:
        view = report.read_batch(session, batch_id)
        assert view is not None, "the batch was just accepted"
        return view, report.read_items(session, batch_id, limit=max(view.total, 1))


def _idempotency_key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and not 0 < len(key) <= 255:  # noqa: PLR2004  the contract's bound
        raise ProblemError(BAD_PARAMETER, "Idempotency-Key must have 1 to 255 characters")
    return key


def _fingerprint(request: Request, body_sha256: bytes) -> bytes:
    """Return the hash of the request; another method, path, query, ``If-Match`` or body makes another request."""
    asked = f"{request.method} {request.url.path} "
    # Only if there are any, so that a request which an older version accepted is recognized.
    guard = request.headers.getlist("if-match")
    if request.url.query or guard:
        asked += json.dumps([request.url.query, *guard])
    return hashlib.sha256(asked.encode() + body_sha256).digest()
