"""Presigned uploads: large content goes from the client to the store, past the API.

The client can write to the upload's key until it expires. So the content is copied to a key of its own, and hashed
there, before an item names it. The upload's key is noted as garbage from the start.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import text
from sqlalchemy.orm import Session

from worker.blobs import s3
from worker.blobs.lifecycle import StoredContent, intend, note_garbage
from worker.blobs.presign import put_url
from worker.database import count_changed, transaction
from worker.errors import BlobMissingError, LimpetError
from worker.settings import settings


class InvalidUploadError(LimpetError):
    """An item names an upload that it can't use; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class OpenedUpload:
    """A new upload: PUT the bytes to ``url`` before ``expires_at``."""

    id: UUID
    url: str
    expires_at: datetime


_OPEN = text("""
    INSERT INTO upload (id, caller, object_key, expires_at) VALUES (:id, :caller, :object_key, now() + :lifetime)
    RETURNING expires_at
""")


def open_upload(database: str, caller: str) -> OpenedUpload:
    """Open an upload for ``caller`` in ``database``."""
    ident, lifetime = uuid4(), settings().upload_lifetime
    key = f"{database}/uploads/{ident.hex}"
    values = {"id": ident, "caller": caller, "object_key": key, "lifetime": lifetime}
    with transaction(database) as session:
        note_garbage(session, [key], 2 * lifetime)
        expires_at: datetime = session.scalars(_OPEN, values).one()
    url, _ = put_url(key, lifetime)
    return OpenedUpload(ident, url, expires_at)


_FIND = text("""
    SELECT object_key FROM upload WHERE id = :id AND caller = :caller AND expires_at > now() AND used_at IS NULL
""")


def take_upload(database: str, caller: str, ident: UUID) -> StoredContent:
    """Copy the content of an upload to a key of its own, hash it and return it.

    Raises:
        InvalidUploadError: it is not the caller's, was used, has expired, holds nothing or too much.
        StoreUnavailableError: transient; the upload is still open.

    """
    with transaction(database) as session:
        source = session.scalars(_FIND, {"id": ident, "caller": caller}).one_or_none()
    if source is None:
        raise InvalidUploadError(
            f"upload {ident} is not open to you: it was used, has expired or never was; open another"
        )
    try:
        size = s3.size_of(source)
    except BlobMissingError as missing:
        raise InvalidUploadError(f"upload {ident} has no content yet: PUT it to the upload's url first") from missing
    if size > settings().max_upload:
        raise InvalidUploadError(f"upload {ident} is longer than {settings().max_upload} bytes")
    (target,) = intend(database, 1)
    s3.copy(source, target, size)
    # The client may have overwritten the source meanwhile, so the copy's own size counts.
    size = s3.size_of(target)
    return StoredContent(target, s3.sha256_of(target, size), size)


_USE = text("UPDATE upload SET used_at = now() WHERE id = :id AND used_at IS NULL")


def mark_used(session: Session, ident: UUID) -> bool:
    """Mark an upload as used, in the transaction that accepts its item; False: another item has used it."""
    return count_changed(session, _USE, {"id": ident}) == 1


def forget_expired(database: str, age: timedelta) -> int:
    """Delete the rows of uploads that expired more than ``age`` ago; their objects are garbage by then."""
    with transaction(database) as session:
        return count_changed(session, text("DELETE FROM upload WHERE expires_at < now() - :age"), {"age": age})
