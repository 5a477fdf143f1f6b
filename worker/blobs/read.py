"""Read contents back."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from worker.blobs import s3


@dataclass(frozen=True, slots=True)
class BlobView:
    """A blob as readers need it."""

    object_key: str
    sha256: bytes
    size: int

    def read(self, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Yield the bytes from ``offset`` on, ``length`` of them or to the end.

        Raises:
            StoreUnavailableError, BlobMissingError: at the call or during the iteration.

        """
        return s3.read(self.object_key, offset, self.size - offset if length is None else length)


_BLOBS = text("SELECT id, object_key, sha256, size FROM blob WHERE id = ANY(:ids)")


def load_blobs(session: Session, ids: Iterable[int]) -> dict[int, BlobView]:
    """Return those blobs of ``ids`` that exist; a record's blob exists as long as the record names it."""
    rows = session.execute(_BLOBS, {"ids": list(ids)})
    return {row.id: BlobView(row.object_key, bytes(row.sha256), row.size) for row in rows}
