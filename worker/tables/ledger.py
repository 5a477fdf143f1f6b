"""The tables of the ledger: batch, chunk, item.

They lie in the database of the records, so that an item's effect and its outcome commit in one transaction. CHECK
constraints forbid contradictions: an item is open exactly while it has no outcome, a chunk has a due time exactly while
it is not done, and a chunk that is done has counted each of its items.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Sequence,
    SmallInteger,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from worker.tables.base import Base, Instant
from worker.verdicts import OUTCOMES

_outcomes = ", ".join(f"'{o}'" for o in OUTCOMES)


# One sequence orders all batches of a database.
acceptance = Sequence("acceptance", metadata=Base.metadata)


class BatchTable(Base):
    """The items that one request or one import submitted.

    Its state is derived: *finished* once ``finished_at`` is set, or *cancelled* if ``cancel_requested_at`` is set as
    well; else *running* once a chunk was started, else *accepted*.
    """

    __tablename__ = "batch"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(Text)
    caller: Mapped[str] = mapped_column(Text)
    total: Mapped[int] = mapped_column(Integer)
    accepted_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())
    finished_at: Mapped[datetime | None] = mapped_column(Instant)
    cancel_requested_at: Mapped[datetime | None] = mapped_column(Instant)
    idempotency_key: Mapped[str | None] = mapped_column(Text)
    request_sha256: Mapped[bytes | None] = mapped_column(LargeBinary)
    parent_id: Mapped[UUID | None] = mapped_column(ForeignKey("batch.id"))

    __table_args__ = (
        Index("batch_idempotency_key", "caller", "idempotency_key", unique=True),
        Index("batch_unfinished", "id", postgresql_where=text("finished_at IS NULL")),
        Index("batch_accepted_at_idx", "accepted_at"),
        Index("batch_parent_id_idx", "parent_id", postgresql_where=text("parent_id IS NOT NULL")),
        CheckConstraint("(idempotency_key IS NULL) = (request_sha256 IS NULL)", name="idempotency"),
        CheckConstraint("total >= 0", name="total"),
    )


class ChunkTable(Base):
    """Consecutive items of one batch that one Celery task carries.

    ``open``: no worker has it. ``taken``: a worker has it, until ``due_at``. ``done``: every item has an outcome and
    is counted. The relay publishes a chunk again at ``due_at``, ``rings`` counts how often. ``suspect_*`` name the item
    that runs alone, so that a worker's death counts for this item.
    """

    __tablename__ = "chunk"

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    batch_id: Mapped[UUID] = mapped_column(ForeignKey("batch.id", ondelete="CASCADE"))
    first: Mapped[int] = mapped_column(Integer)
    last: Mapped[int] = mapped_column(Integer)
    acceptance: Mapped[int]
    queue: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text, server_default="open")
    due_at: Mapped[datetime | None] = mapped_column(Instant)
    rings: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    attempts: Mapped[int] = mapped_column(Integer, server_default="0")
    deaths: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    worker: Mapped[str | None] = mapped_column(Text)
    started_at: Mapped[datetime | None] = mapped_column(Instant)
    server_started_at: Mapped[datetime | None] = mapped_column(Instant)
    suspect_batch_id: Mapped[UUID | None]
    suspect_position: Mapped[int | None] = mapped_column(Integer)
    history: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, server_default=text("'[]'::jsonb"))
    created: Mapped[int] = mapped_column(Integer, server_default="0")
    updated: Mapped[int] = mapped_column(Integer, server_default="0")
    deleted: Mapped[int] = mapped_column(Integer, server_default="0")
    skipped: Mapped[int] = mapped_column(Integer, server_default="0")
    invalid: Mapped[int] = mapped_column(Integer, server_default="0")
    failed: Mapped[int] = mapped_column(Integer, server_default="0")
    cancelled: Mapped[int] = mapped_column(Integer, server_default="0")

    __table_args__ = (
        Index("chunk_due", "due_at", postgresql_where=text("due_at IS NOT NULL")),
        Index("chunk_batch_id_first_idx", "batch_id", "first", unique=True),
        Index("chunk_unfinished", "batch_id", postgresql_where=text("state <> 'done'")),
        Index("chunk_deleted", "acceptance", postgresql_where=text("deleted > 0")),
        CheckConstraint("state IN ('open', 'taken', 'done')", name="state"),
        CheckConstraint("(state = 'done') = (due_at IS NULL)", name="due"),
        CheckConstraint("state <> 'taken' OR (worker IS NOT NULL AND started_at IS NOT NULL)", name="taken"),
        CheckConstraint("(suspect_batch_id IS NULL) = (suspect_position IS NULL)", name="suspect"),
        CheckConstraint(
            "state <> 'done' OR created + updated + deleted + skipped + invalid + failed + cancelled"
            " = last - first + 1",
            name="counts",
        ),
        {"postgresql_with": {"fillfactor": "70"}},
    )


class ItemTable(Base):
    """One line of a batch: a kind, a payload, a verdict.

    ``(acceptance, position)`` orders the items of a ``key``; items without a key have no order. There is no foreign key
    to batch: checking it for each row costs more than the row, and only retention deletes.
    """

    __tablename__ = "item"

    batch_id: Mapped[UUID] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    acceptance: Mapped[int]
    accepted_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())
    kind: Mapped[str] = mapped_column(Text)
    key: Mapped[int | None]
    payload: Mapped[dict[str, Any]] = mapped_column(JSONB)
    content: Mapped[bytes | None] = mapped_column(LargeBinary)
    blob_id: Mapped[int | None] = mapped_column(ForeignKey("blob.id"))
    deaths: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    outcome: Mapped[str | None] = mapped_column(Text)
    status: Mapped[int | None] = mapped_column(SmallInteger)
    record_key: Mapped[int | None]
    body: Mapped[str | None] = mapped_column(Text)
    retry: Mapped[str | None] = mapped_column(Text)
    errors: Mapped[list[dict[str, str]] | None] = mapped_column(JSONB(none_as_null=True))

    __table_args__ = (
        Index(
            "item_open_key",
            "key",
            "acceptance",
            "position",
            postgresql_where=text("outcome IS NULL AND key IS NOT NULL"),
        ),
        Index("item_blob_id_idx", "blob_id", postgresql_where=text("blob_id IS NOT NULL")),
        CheckConstraint(f"outcome IN ({_outcomes})", name="outcome"),
        CheckConstraint("(outcome IS NULL) = (status IS NULL) AND (outcome IS NULL) = (body IS NULL)", name="verdict"),
        CheckConstraint("retry IN ('never', 'as-is', 'after-fix')", name="retry"),
        CheckConstraint("content IS NULL OR blob_id IS NULL", name="content"),
        {"postgresql_with": {"fillfactor": "80"}},
    )
