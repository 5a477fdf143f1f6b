"""The tables of contents: blobs, object keys due for removal, and presigned uploads."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    Identity,
    Index,
    LargeBinary,
    Text,
    func,
)
from sqlalchemy.orm import Mapped, mapped_column

from worker.tables.base import Base, Instant


class BlobTable(Base):
    """Bytes in the object store; each distinct content of a database is one row."""

    __tablename__ = "blob"

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    sha256: Mapped[bytes] = mapped_column(LargeBinary)
    size: Mapped[int]
    object_key: Mapped[str] = mapped_column(Text, unique=True)
    stored_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())

    __table_args__ = (
        Index("blob_sha256_size_key", "sha256", "size", unique=True),
        CheckConstraint("octet_length(sha256) = 32 AND size >= 0", name="content"),
    )


class GarbageTable(Base):
    """An object key whose object is removed at ``due_at`` unless a blob adopts it; inserted before the object is."""

    __tablename__ = "garbage"

    object_key: Mapped[str] = mapped_column(Text, primary_key=True)
    due_at: Mapped[datetime] = mapped_column(Instant)

    __table_args__ = (Index("garbage_due_at_idx", "due_at"),)


class UploadTable(Base):
    """An object that a client may write by a presigned URL until ``expires_at``; one item may use it, once."""

    __tablename__ = "upload"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    caller: Mapped[str] = mapped_column(Text)
    object_key: Mapped[str] = mapped_column(Text)
    expires_at: Mapped[datetime] = mapped_column(Instant)
    used_at: Mapped[datetime | None] = mapped_column(Instant)

    __table_args__ = (Index("upload_expires_at_idx", "expires_at"),)
