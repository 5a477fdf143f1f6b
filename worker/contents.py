"""Read a record's content back."""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from worker import store


@dataclass(frozen=True, slots=True)
class BlobView:
    """A blob as readers need it."""

    object_key: str
    sha256: bytes
    size: int

    def read(self, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Yield the bytes from ``offset`` on, ``length`` of them or to the end.

        Raises:
            StoreUnavailableError, BlobMissingError: at the call or while the pieces come.

        """
        return store.read(self.object_key, offset, self.size - offset if length is None else length)


_BLOB = text("SELECT object_key, sha256, size FROM blob WHERE id = :blob_id")


def blob(session: Session, blob_id: int) -> BlobView | None:
    """Return the blob, None if it was collected since its id was read."""
    row = session.execute(_BLOB, {"blob_id": blob_id}).one_or_none()
    return None if row is None else BlobView(row.object_key, bytes(row.sha256), row.size)
