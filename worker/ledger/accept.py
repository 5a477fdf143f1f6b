"""Accept: a batch, its chunks and its items become durable in one transaction."""

import time
from collections.abc import Iterator, Sequence
from uuid import UUID

from psycopg.types.json import Jsonb
from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.orm import Session

from worker.blobs.spool import Spooled
from worker.database import copy_rows
from worker.errors import IdempotencyConflictError
from worker.ledger.chunking import ChunkPlan, Load, chunk_size, divide, max_load
from worker.ledger.model import DEFAULT_QUEUE, Accepted, AppendTarget, ChunkMessage, NewBatch, NewItem
from worker.ledger.uuid7 import first_id, new_batch_id
from worker.settings import settings


def accept(session: Session, new: NewBatch) -> Accepted:
    """Append ``new`` to the ledger; durable once the caller's transaction commits.

    A light batch needs none: it is one statement, which commits by itself in an autocommit session.

    The order number is taken here, after the request has been read whole, so a
    request whose answer came before another was sent is before it.

    Raises:
        IdempotencyConflictError: the key was used for another request.

    """
    batch_id = new_batch_id()
    made = _insert_light(session, batch_id, new) if new.is_light else _insert(session, batch_id, new)
    if made is None:
        known = find_replayed(session, new)
        assert known is not None, "what is in the way of its key is there"
        return known
    return made


# What keeps worker processes busy: chunks of the queue that are new or at work, and batches that just came.
_OPEN = "SELECT FROM chunk WHERE due_at IS NOT NULL AND queue = :queue AND (state = 'taken' OR attempts = 0)"
_RECENT = "SELECT total FROM batch WHERE id > :recent AND total <= :small"
# One statement, where `_insert` needs three and a transaction around them: a batch of one is accepted in two thirds of
# the time. A single item is cut into one chunk anyway, so nobody counts what is open.
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
    ), cut AS MATERIALIZED (  -- else the load is looked up twice: for the series and for its rows
        SELECT CASE WHEN :total > 1 AND (
            :most_open < (SELECT count(*) FROM ({_OPEN} LIMIT :most_open + 1) AS open)
            OR :most_recent < (SELECT coalesce(sum(total), 0) FROM ({_RECENT} LIMIT :most_recent + 1) AS recent)
        ) THEN :together ELSE 1 END AS size
    )
    INSERT INTO chunk (batch_id, first, last, acceptance, queue, state, due_at)
    SELECT :id, first, least(first + size, :total) - 1, acceptance, :queue, 'open', now() + :ring_after
    FROM new, cut, generate_series(0, :total - 1, size) AS first
    RETURNING id, first, last
""")  # noqa: S608  the parts are constants of this module


def _insert_light(session: Session, batch_id: UUID, new: NewBatch) -> Accepted | None:
    """Append a light batch, cut as `chunk_size` says; None on a replay."""
    most = max_load()
    items = [
        {"position": position, "kind": i.kind, "key": i.key, "payload": i.payload}
        for position, i in enumerate(new.items)
    ]
    values = {
        "items": to_json(items).decode(),
        "most_open": most.open_chunks,
        "most_recent": most.recent_items,
        "together": chunk_size(len(items), Load(most.open_chunks + 1, 0)),
        "ring_after": settings().ring_after,
    }
    rows = session.execute(_INSERT_LIGHT, _of_batch(batch_id, new) | values).all()
    if not rows:
        return None
    return Accepted(
        batch_id, [ChunkMessage(chunk_id, batch_id, first, last, DEFAULT_QUEUE) for chunk_id, first, last in rows]
    )


def _of_batch(batch_id: UUID, new: NewBatch) -> dict[str, object]:
    """Return what both ways to insert a batch say of it, and of what came before it."""
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
              (SELECT count(*) FROM ({_OPEN} LIMIT :enough) AS open),
              (SELECT coalesce(sum(total), 0) FROM ({_RECENT} LIMIT :enough) AS recent)
""")  # noqa: S608  the parts are constants of this module


def _insert(session: Session, batch_id: UUID, new: NewBatch) -> Accepted | None:
    """Append a batch; None on a replay."""
    # The load is counted no further than matters.
    values = {
        "finished": all(item.verdict for item in new.items),
        "enough": max_load().recent_items + 1,
    }
    row = session.execute(_INSERT_BATCH, _of_batch(batch_id, new) | values).one_or_none()
    if row is None:
        return None
    acceptance, *load = row
    slot = AppendTarget(batch_id, acceptance)
    cuts = divide(new.items, chunk_size(len(new.items), Load(*load)))
    messages = append_chunks(session, slot, cuts)
    copy_items(session, slot, new.items)
    return Accepted(batch_id, messages, counted=sum(c.invalid for c in cuts if c.is_done))


def find_replayed(session: Session, new: NewBatch) -> Accepted | None:
    """Return the batch that was made under the idempotency key of ``new``, None if none was.

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


_INSERT_CHUNKS = text("""
    INSERT INTO chunk (batch_id, first, last, acceptance, queue, state, due_at, invalid)
    SELECT :batch_id, :start_position + first, :start_position + last, :acceptance, :queue,
           CASE WHEN invalid = last - first + 1 THEN 'done' ELSE 'open' END,
           CASE WHEN invalid = last - first + 1 THEN NULL
                WHEN CAST(:rate AS int) IS NULL THEN now() + :ring_after
                ELSE CAST(:start AS timestamptz) + interval '1 second' * first / CAST(:rate AS int) END,
           CASE WHEN invalid = last - first + 1 THEN invalid ELSE 0 END
    FROM unnest(CAST(:first AS int[]), CAST(:last AS int[]), CAST(:invalid AS int[])) AS cut (first, last, invalid)
    RETURNING id, first, last, state
""")


def append_chunks(session: Session, slot: AppendTarget, cuts: Sequence[ChunkPlan]) -> list[ChunkMessage]:
    """Insert chunks as cut; those whose items are all refused are done. Return a ring for each other.

    Where there is a rate, nobody rings now: the relay does when a chunk is due.
    """
    if not cuts:
        return []
    rows = session.execute(
        _INSERT_CHUNKS,
        {
            "batch_id": slot.batch_id,
            "acceptance": slot.acceptance,
            "start_position": slot.first,
            "queue": slot.queue,
            "rate": slot.rate,
            "start": slot.start,
            "ring_after": settings().ring_after,
            "first": [c.first for c in cuts],
            "last": [c.last for c in cuts],
            "invalid": [c.invalid for c in cuts],
        },
    ).all()
    if slot.rate is not None:
        return []
    return [ChunkMessage(r.id, slot.batch_id, r.first, r.last, slot.queue) for r in rows if r.state == "open"]


_COPY_ITEMS = """
    COPY item (batch_id, position, acceptance, kind, key, payload, content, blob_id,
               outcome, status, record_key, body, retry, errors)
    FROM STDIN (FORMAT BINARY)
"""
_COPY_TYPES = (
    "uuid", "int4", "int8", "text", "int8", "jsonb", "bytea", "int8",
    "text", "int2", "int8", "text", "text", "jsonb",
)  # fmt: skip


def copy_items(session: Session, slot: AppendTarget, items: Sequence[NewItem]) -> None:
    """Append ``items`` from the slot's position on."""
    # COPY is several times faster than the best INSERT here; bench/README.md has the figures.
    rows = ((slot.batch_id, position, slot.acceptance, *row) for position, row in enumerate(_rows(items), slot.first))
    copy_rows(session, _COPY_ITEMS, _COPY_TYPES, rows)


def _rows(items: Sequence[NewItem]) -> Iterator[tuple[object, ...]]:
    for item in items:
        end: tuple[object, ...] = (None,) * 6
        if (v := item.verdict) is not None:
            errors = Jsonb(v.errors) if v.errors else None
            end = (v.outcome, v.status, v.record_key, v.body, v.retry, errors)
        content = item.content.read() if isinstance(item.content, Spooled) else item.content
        # What is refused may hold what only the standard library can spell.
        payload = Jsonb(item.payload, None if item.verdict else to_json)
        yield (item.kind, item.key, payload, content, item.blob_id, *end)
