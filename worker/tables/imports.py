"""The tables of imports, which append to batches of the ledger."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, Integer, SmallInteger, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from worker.tables.base import Base, Instant


class ImportTable(Base):
    """A batch that grows: rows may be appended until ``closed_at``, and until then the batch does not finish.

    A caller finds it again by ``name``; ``fingerprint`` tells whether the manifest is the same. While ``paused_at`` is
    set, no chunk of it is claimed. At ``rows_per_second``, the appended rows are due until ``paced_until``.
    """

    __tablename__ = "import"

    batch_id: Mapped[UUID] = mapped_column(ForeignKey("batch.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    fingerprint: Mapped[str] = mapped_column(Text)
    on_conflict: Mapped[str] = mapped_column(Text)
    closed_at: Mapped[datetime | None] = mapped_column(Instant)
    paused_at: Mapped[datetime | None] = mapped_column(Instant)
    rows_per_second: Mapped[int | None] = mapped_column(Integer)
    paced_until: Mapped[datetime | None] = mapped_column(Instant)
    error: Mapped[str | None] = mapped_column(Text)

    __table_args__ = (
        Index("import_name_idx", "name"),
        CheckConstraint("on_conflict IN ('replace', 'skip', 'newer')", name="on_conflict"),
        CheckConstraint("rows_per_second > 0", name="rows_per_second"),
        CheckConstraint("error IS NULL OR closed_at IS NOT NULL", name="error"),
    )


class LoaderTable(Base):
    """An import that the workers read: the manifest's object and its version, and the cursor in it.

    The relay publishes the next step at ``due_at``, which is null once the manifest was read to its end. ``failures``
    counts steps that failed in a row by a bug; transient faults do not count.
    """

    __tablename__ = "loader"

    batch_id: Mapped[UUID] = mapped_column(ForeignKey("import.batch_id", ondelete="CASCADE"), primary_key=True)
    manifest: Mapped[str] = mapped_column(Text)
    etag: Mapped[str] = mapped_column(Text)
    options: Mapped[dict[str, Any]] = mapped_column(JSONB)
    byte_offset: Mapped[int] = mapped_column(server_default="0")
    line: Mapped[int] = mapped_column(server_default="0")
    due_at: Mapped[datetime | None] = mapped_column(Instant)
    rings: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    failures: Mapped[int] = mapped_column(SmallInteger, server_default="0")

    __table_args__ = (
        Index("loader_due", "due_at", postgresql_where=text("due_at IS NOT NULL")),
        CheckConstraint("byte_offset >= 0 AND line >= 0", name="cursor"),
    )
