"""The tables of records: case attachments and file attachments."""

from datetime import datetime

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Index,
    Integer,
    Sequence,
    String,
    Text,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from worker.tables.base import Base, Instant

# CYCLE: a record with the largest key must not exhaust the sequence.
case_attachment_key = Sequence(
    "case_attachment_key", minvalue=1, maxvalue=2**31 - 1, start=1, cycle=True, metadata=Base.metadata
)
file_attachment_id = Sequence("file_attachment_id", metadata=Base.metadata)


class CaseAttachmentTable(Base):
    """A case attachment. ``acceptance`` and ``position`` name the item that changed it last."""

    __tablename__ = "case_attachment"

    case_attachment_key: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    case_key: Mapped[int] = mapped_column(Integer)
    attachment_file: Mapped[str | None] = mapped_column(String(255))
    attachment_path: Mapped[str | None] = mapped_column(String(500))
    case_attachment_type: Mapped[str | None] = mapped_column(String(256))
    comment: Mapped[str | None] = mapped_column(String(2048))
    entry_user: Mapped[str | None] = mapped_column(String(20))
    entry_date: Mapped[datetime] = mapped_column(Instant)
    update_user: Mapped[str | None] = mapped_column(String(20))
    update_date: Mapped[datetime] = mapped_column(Instant)
    blob_id: Mapped[int | None] = mapped_column(ForeignKey("blob.id"))
    acceptance: Mapped[int]
    position: Mapped[int] = mapped_column(Integer)

    __table_args__ = (
        Index("case_attachment_blob_id_idx", "blob_id", postgresql_where=text("blob_id IS NOT NULL")),
        CheckConstraint("case_attachment_key > 0 AND case_key >= 0", name="keys"),
        {"postgresql_with": {"fillfactor": "90"}},
    )


class FileAttachmentTable(Base):
    """A file attachment. ``key`` is the ordering key of its table and item; both names are stored as they were sent.

    ``acceptance`` and ``position`` name the item that changed it last.
    """

    __tablename__ = "file_attachment"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    key: Mapped[int]
    table_name: Mapped[str] = mapped_column(String(255))
    item_name: Mapped[str] = mapped_column(String(255))
    title: Mapped[str] = mapped_column(String(255))
    file_name: Mapped[str] = mapped_column(String(255))
    blob_id: Mapped[int] = mapped_column(ForeignKey("blob.id"))
    access_type: Mapped[str] = mapped_column(Text)
    show_as_image: Mapped[bool]
    modified_at: Mapped[datetime] = mapped_column(Instant)
    acceptance: Mapped[int]
    position: Mapped[int] = mapped_column(Integer)

    __table_args__ = (
        Index("file_attachment_key_idx", "key"),
        Index("file_attachment_blob_id_idx", "blob_id"),
        CheckConstraint("id > 0 AND key < 0", name="keys"),
        CheckConstraint("table_name <> '' AND item_name <> '' AND title <> '' AND file_name <> ''", name="names"),
        CheckConstraint(
            "access_type IN ('ATTACHACCESS-DEFAULT', 'ATTACHACCESS-RESTRICTED', 'ATTACHACCESS-UNRESTRICTED')",
            name="access_type",
        ),
        {"postgresql_with": {"fillfactor": "90"}},
    )
