"""Accept: a batch, its chunks and its items become durable in one transaction."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from psycopg.types.json import Jsonb
from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.orm import Session

from worker.database import copy
from worker.errors import IdempotencyConflictError
from worker.ledger.batch_ids import first_id, new_batch_id
from worker.ledger.cut import MOST_SINGLES, Cut, Load, chunk_size, cut
from worker.settings import settings
from worker.stored import Spooled, Stored
from worker.verdicts import Verdict

QUEUE = "limpet"
BULK = "limpet.bulk"


@dataclass(frozen=True, slots=True)
class NewItem:
    """One line to accept. ``key`` orders it (None: nothing does); a ``verdict`` means it is refused already.

    Its bytes, if it brings any, ride inline as ``content`` or are a blob. ``stored`` and ``upload_id`` say where
    they are before that; the edge turns both into a blob first.
    """

    kind: str
    key: int | None
    payload: dict[str, object]
    content: bytes | Spooled | None = None
    blob_id: int | None = None
    verdict: Verdict | None = None
    stored: Stored | None = None
    upload_id: UUID | None = None

    @property
    def inline_size(self) -> int:
        """How many bytes ride in the ledger."""
        if isinstance(self.content, Spooled):
            return self.content.size
        return len(self.content or b"")


@dataclass(frozen=True, slots=True)
class NewBatch:
    """What one request submits."""

    kind: str
    caller: str
    items: Sequence[NewItem]
    idempotency_key: str | None = None
    request_sha256: bytes | None = None


@dataclass(frozen=True, slots=True)
class Slot:
    """Where items are appended: to which batch, under which order number, from which position on, rung on which queue.

    ``rate``: so many items a second, in chunks that become due one after another from ``start`` on.
    """

    batch_id: UUID
    acceptance: int
    first: int = 0
    queue: str = QUEUE
    rate: int | None = None
    start: datetime | None = None


@dataclass(frozen=True, slots=True)
class Ring:
    """What a message says: which chunk, and enough for a person reading Flower."""

    chunk_id: int
    batch_id: UUID
    first: int
    last: int
    queue: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """A batch that is durable. ``replayed``: it was there already, under the same idempotency key.

    ``counted``: so many items are refused, and counted by the batch already.
    """

    batch_id: UUID
    rings: list[Ring] = field(default_factory=list)
    replayed: bool = False
    counted: int = 0


def accept(session: Session, new: NewBatch) -> Accepted:
    """Append ``new`` to the ledger; durable once the caller's transaction commits.

    The order number is taken here, after the request has been read whole, so a
    request whose answer came before another was sent is before it.

    Raises:
        IdempotencyConflictError: the key was used for another request.

    """
    batch_id = new_batch_id()
    place = _insert_batch(session, batch_id, new)
    if place is None:
        known = replayed(session, new)
        assert known is not None, "what is in the way of its key is there"
        return known
    acceptance, load = place
    slot = Slot(batch_id, acceptance)
    cuts = cut(new.items, chunk_size(len(new.items), load))
    rings = append_chunks(session, slot, cuts)
    copy_items(session, slot, new.items)
    return Accepted(batch_id, rings, counted=sum(c.invalid for c in cuts if c.is_done))


_INSERT_BATCH = text("""
    INSERT INTO batch (id, kind, caller, total, finished_at, idempotency_key, request_sha256)
    VALUES (:id, :kind, :caller, :total, CASE WHEN :finished THEN now() END, :idempotency_key, :request_sha256)
    ON CONFLICT (caller, idempotency_key) DO NOTHING
    RETURNING nextval('acceptance'),
              (SELECT count(*) FROM (
                   SELECT FROM chunk WHERE due_at IS NOT NULL AND queue = :queue AND (state = 'taken' OR attempts = 0)
                   LIMIT :enough) AS open),
              (SELECT coalesce(sum(total), 0) FROM (
                   SELECT total FROM batch WHERE id > :recent AND total <= :small LIMIT :enough) AS recent)
""")


def _insert_batch(session: Session, batch_id: UUID, new: NewBatch) -> tuple[int, Load] | None:
    """Return the order number and the load (counted no further than matters), None on a replay."""
    row = session.execute(
        _INSERT_BATCH,
        {
            "id": batch_id,
            "kind": new.kind,
            "caller": new.caller,
            "total": len(new.items),
            "finished": all(item.verdict for item in new.items),
            "idempotency_key": new.idempotency_key,
            "request_sha256": new.request_sha256,
            "enough": MOST_SINGLES * settings().worker_processes + 1,
            "queue": QUEUE,
            "recent": first_id(time.time() - 1),
            "small": settings().small_batch,
        },
    ).one_or_none()
    return None if row is None else (row[0], Load(row[1], row[2]))


def replayed(session: Session, new: NewBatch) -> Accepted | None:
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


def append_chunks(session: Session, slot: Slot, cuts: Sequence[Cut]) -> list[Ring]:
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
    return [Ring(r.id, slot.batch_id, r.first, r.last, slot.queue) for r in rows if r.state == "open"]


_COPY_ITEMS = """
    COPY item (batch_id, position, acceptance, kind, key, payload, content, blob_id,
               outcome, status, record_key, body, retry, errors)
    FROM STDIN (FORMAT BINARY)
"""
_COPY_TYPES = (
    "uuid", "int4", "int8", "text", "int8", "jsonb", "bytea", "int8",
    "text", "int2", "int8", "text", "text", "jsonb",
)  # fmt: skip


def copy_items(session: Session, slot: Slot, items: Sequence[NewItem]) -> None:
    """Append ``items`` from the slot's position on."""
    # COPY is several times faster than the best INSERT here; bench/README.md has the figures.
    rows = ((slot.batch_id, position, slot.acceptance, *row) for position, row in enumerate(_rows(items), slot.first))
    copy(session, _COPY_ITEMS, _COPY_TYPES, rows)


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
