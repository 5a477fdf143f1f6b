"""The tables of imports, beside those of the ledger that they feed."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, Integer, SmallInteger, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from worker.tables.base import Base, Instant


class ImportTable(Base):
    """What makes a batch grow: rows may follow until ``closed_at``, and until then the batch does not finish.

    ``name`` finds it again; ``fingerprint`` says whether it is still the same manifest. While ``paused_at`` is set,
    no chunk of it is claimed. ``paced_until`` is when the rows that were appended are due at ``rows_per_second``.
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
    """Where the workers themselves read an import: the manifest's object (and which version of it), how far they are.

    ``due_at`` is when the relay must ring for the next step; none once the manifest was read to its end. ``failures``:
    how often that step met a bug; what passes by itself does not count.
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
