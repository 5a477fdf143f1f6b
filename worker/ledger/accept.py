"""Accept a batch: make it, its chunks and its items durable in one transaction."""

import time
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.orm import Session

from worker.blobs.client_uploads import mark_used
from worker.blobs.lifecycle import adopt, note_garbage
from worker.database import autocommit, transaction
from worker.errors import IdempotencyConflictError, LimpetError, StoreUnavailableError
from worker.ledger.append import append_chunks, copy_items
from worker.ledger.chunking import Load, chunk_size, divide, max_load
from worker.ledger.model import DEFAULT_QUEUE, Accepted, AppendTarget, ChunkMessage, NewBatch, NewItem
from worker.ledger.ordering import serialize_appends
from worker.ledger.uuid7 import first_id, new_batch_id
from worker.settings import settings


class UploadsUsedError(LimpetError):
    """Other items have used the uploads of the items at ``positions``; nothing was accepted."""

    def __init__(self, positions: Sequence[int]) -> None:
        super().__init__(f"the uploads of items {list(positions)} were used already")
        self.positions = positions


def accept(database: str, new: NewBatch) -> Accepted:
    """Append ``new`` to the ledger of ``database``; it is durable on return.

    A light batch is one statement, which commits by itself. Any other batch is one transaction: it marks uploads as
    used, adopts stored contents, waits for appends to the same files, and appends.

    Raises:
        IdempotencyConflictError: the key was used for another request.
        UploadsUsedError: some uploads are used; the caller may refuse their items and try again.
        StoreUnavailableError: a stored content was removed meanwhile; nothing was accepted.

    """
    if new.is_light:
        with autocommit(database) as session:
            return append_batch(session, new)
    try:
        with transaction(database) as session:
            _use_uploads(session, new.items)
            items = _adopt_contents(session, new.items)
            serialize_appends(session, items)
            return append_batch(session, replace(new, items=items))
    except StoreUnavailableError:
        with transaction(database) as session:
            note_garbage(session, [item.stored.object_key for item in new.items if item.stored])
        raise


def _use_uploads(session: Session, items: Sequence[NewItem]) -> None:
    wanted = [(item.upload_id, n) for n, item in enumerate(items) if item.upload_id and not item.verdict]
    # In one order for all batches, because marking locks: two that name the same uploads must not deadlock.
    used = [position for upload_id, position in sorted(wanted) if not mark_used(session, upload_id)]
    if used:
        raise UploadsUsedError(used)


def _adopt_contents(session: Session, items: Sequence[NewItem]) -> list[NewItem]:
    """Return ``items`` with blobs in place of what is stored for them."""
    stored = [item.stored for item in items if item.stored]
    blob_ids = adopt(session, stored)
    for content in stored:
        if content.address not in blob_ids:
            raise StoreUnavailableError(f"{content.object_key} was collected before its batch was accepted")
    return [replace(item, blob_id=blob_ids[item.stored.address]) if item.stored else item for item in items]


def append_batch(session: Session, new: NewBatch) -> Accepted:
    """Append ``new``, whose contents are inline or blobs; durable once the session's transaction commits.

    It takes the acceptance number, which orders batches. A client that sends a second request after the answer to the
    first finds them in that order, because the request has been read whole by now.

    Raises:
        IdempotencyConflictError: the key was used for another request.

    """
    batch_id = new_batch_id()
    accepted = _insert_light(session, batch_id, new) if new.is_light else _insert(session, batch_id, new)
    if accepted is None:
        replayed = find_replayed(session, new)
        assert replayed is not None, "the key conflicted, so its batch is there"
        return replayed
    return accepted


# The load of the worker processes: chunks of the queue that are new or taken, and small batches of the last second.
_OPEN_CHUNKS = "SELECT FROM chunk WHERE due_at IS NOT NULL AND queue = :queue AND (state = 'taken' OR attempts = 0)"
_RECENT_BATCHES = "SELECT total FROM batch WHERE id > :recent AND total <= :small"
# One statement, where `_insert` needs three and a transaction: a batch of one is accepted in two thirds of the time.
# A single item is one chunk anyway, so the load is not counted for it.
_INSERT_LIGHT = text(f"""
    WITH new AS (
        INSERT INTO batch (id, kind, caller, total, idempotency_key, request_sha256)
        VALUES (:id, :kind, :caller, :total, :idempotency_key, :request_sha256)
        ON CONFLICT (caller, idempotency_key) DO NOTHING
        RETURNING nextval('acceptance') AS acceptance
    ), its_items AS (
        INSERT INTO item (batch_id, position, acceptance, kind, key, payload)
        SELECT :id, i.position, acceptance, i.kind, i.key, i.payload
        FROM new, json_to_recordset(CAST(:items AS json))
            AS i (position int, kind text, key bigint, payload jsonb)
    ), cut AS MATERIALIZED (  -- else the load is counted twice: for the series and for its rows
        SELECT CASE WHEN :total > 1 AND (
            :most_open < (SELECT count(*) FROM ({_OPEN_CHUNKS} LIMIT :most_open + 1) AS open)
            OR :most_recent < (SELECT coalesce(sum(total), 0) FROM ({_RECENT_BATCHES} LIMIT :most_recent + 1) AS recent)
        ) THEN :together ELSE 1 END AS size
    )
    INSERT INTO chunk (batch_id, first, last, acceptance, queue, state, due_at)
    SELECT :id, first, least(first + size, :total) - 1, acceptance, :queue, 'open', now() + :ring_after
    FROM new, cut, generate_series(0, :total - 1, size) AS first
    RETURNING id, first, last
""")  # noqa: S608  the parts are constants of this module


def _insert_light(session: Session, batch_id: UUID, new: NewBatch) -> Accepted | None:
    """Append a light batch, in chunks of the size that `chunk_size` computes; None on a replay."""
    limit = max_load()
    items = [
        {"position": position, "kind": i.kind, "key": i.key, "payload": i.payload}
        for position, i in enumerate(new.items)
    ]
    values = {
        "items": to_json(items).decode(),
        "most_open": limit.open_chunks,
        "most_recent": limit.recent_items,
        "together": chunk_size(len(items), Load(limit.open_chunks + 1, 0)),
        "ring_after": settings().ring_after,
    }
    rows = session.execute(_INSERT_LIGHT, _batch_values(batch_id, new) | values).all()
    if not rows:
        return None
    return Accepted(
        batch_id, [ChunkMessage(chunk_id, batch_id, first, last, DEFAULT_QUEUE) for chunk_id, first, last in rows]
    )


def _batch_values(batch_id: UUID, new: NewBatch) -> dict[str, object]:
    """Return the values that both ways to insert a batch share."""
    return {
        "id": batch_id,
        "kind": new.kind,
        "caller": new.caller,
        "total": len(new.items),
        "idempotency_key": new.idempotency_key,
        "request_sha256": new.request_sha256,
        "queue": DEFAULT_QUEUE,
        "recent": first_id(time.time() - 1),
        "small": settings().small_batch,
    }


_INSERT_BATCH = text(f"""
    INSERT INTO batch (id, kind, caller, total, finished_at, idempotency_key, request_sha256)
    VALUES (:id, :kind, :caller, :total, CASE WHEN :finished THEN now() END, :idempotency_key, :request_sha256)
    ON CONFLICT (caller, idempotency_key) DO NOTHING
    RETURNING nextval('acceptance'),
              (SELECT count(*) FROM ({_OPEN_CHUNKS} LIMIT :enough) AS open),
              (SELECT coalesce(sum(total), 0) FROM ({_RECENT_BATCHES} LIMIT :enough) AS recent)
""")  # noqa: S608  the parts are constants of this module


def _insert(session: Session, batch_id: UUID, new: NewBatch) -> Accepted | None:
    """Append a batch; None on a replay."""
    # The load is counted only as far as it matters.
    values = {
        "finished": all(item.verdict for item in new.items),
        "enough": max_load().recent_items + 1,
    }
    row = session.execute(_INSERT_BATCH, _batch_values(batch_id, new) | values).one_or_none()
    if row is None:
        return None
    acceptance, *load = row
    target = AppendTarget(batch_id, acceptance)
    plans = divide(new.items, chunk_size(len(new.items), Load(*load)))
    messages = append_chunks(session, target, plans)
    copy_items(session, target, new.items)
    return Accepted(batch_id, messages, counted_invalid=sum(plan.invalid for plan in plans if plan.is_done))


def find_replayed(session: Session, new: NewBatch) -> Accepted | None:
    """Return the batch that was accepted under the idempotency key of ``new``, None if there is none.

    Raises:
        IdempotencyConflictError: the key was used for another request.

    """
    row = session.execute(
        text("SELECT id, request_sha256 FROM batch WHERE caller = :caller AND idempotency_key = :key"),
        {"caller": new.caller, "key": new.idempotency_key},
    ).one_or_none()
    if row is None:
        return None
    if bytes(row.request_sha256) != new.request_sha256:
        raise IdempotencyConflictError(
            "this Idempotency-Key was used before, for another request: use a new key for a new request"
        )
    return Accepted(row.id, replayed=True)
