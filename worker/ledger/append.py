"""Append chunks and items to a batch: shared by acceptance, imports and retries."""

from collections.abc import Iterator, Sequence

from psycopg.types.json import Jsonb
from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.orm import Session

from worker.blobs.spool import Spooled
from worker.database import copy_rows
from worker.ledger.chunking import ChunkPlan
from worker.ledger.model import AppendTarget, ChunkMessage, NewItem
from worker.settings import settings

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


def append_chunks(session: Session, target: AppendTarget, plans: Sequence[ChunkPlan]) -> list[ChunkMessage]:
    """Insert the planned chunks and return a message for each one that is open; one with invalid items only is done.

    With a rate there are no messages: the relay publishes each chunk when it is due.
    """
    if not plans:
        return []
    rows = session.execute(
        _INSERT_CHUNKS,
        {
            "batch_id": target.batch_id,
            "acceptance": target.acceptance,
            "start_position": target.first,
            "queue": target.queue,
            "rate": target.rate,
            "start": target.start,
            "ring_after": settings().ring_after,
            "first": [plan.first for plan in plans],
            "last": [plan.last for plan in plans],
            "invalid": [plan.invalid for plan in plans],
        },
    ).all()
    if target.rate is not None:
        return []
    return [ChunkMessage(r.id, target.batch_id, r.first, r.last, target.queue) for r in rows if r.state == "open"]


_COPY_ITEMS = """
    COPY item (batch_id, position, acceptance, kind, key, payload, content, blob_id,
               outcome, status, record_key, body, retry, errors)
    FROM STDIN (FORMAT BINARY)
"""
_COPY_TYPES = (
    "uuid", "int4", "int8", "text", "int8", "jsonb", "bytea", "int8",
    "text", "int2", "int8", "text", "text", "jsonb",
)  # fmt: skip


def copy_items(session: Session, target: AppendTarget, items: Sequence[NewItem]) -> None:
    """Append ``items`` from the target's position on."""
    # COPY is several times faster than the best INSERT; bench/README.md has the figures.
    batch_id, acceptance = target.batch_id, target.acceptance
    rows = ((batch_id, position, acceptance, *row) for position, row in enumerate(_item_rows(items), target.first))
    copy_rows(session, _COPY_ITEMS, _COPY_TYPES, rows)


def _item_rows(items: Sequence[NewItem]) -> Iterator[tuple[object, ...]]:
    for item in items:
        verdict_columns: tuple[object, ...] = (None,) * 6
        if (v := item.verdict) is not None:
            errors = Jsonb(v.errors) if v.errors else None
            verdict_columns = (v.outcome, v.status, v.record_key, v.body, v.retry, errors)
        content = item.content.read() if isinstance(item.content, Spooled) else item.content
        # An invalid payload may hold values that only the standard library can encode.
        payload = Jsonb(item.payload, None if item.verdict else to_json)
        yield (item.kind, item.key, payload, content, item.blob_id, *verdict_columns)
