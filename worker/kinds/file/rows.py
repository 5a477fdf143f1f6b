"""The rows of file attachments, and the collection that each belongs to."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from schemas.file_attachments import AccessType
from worker.blobs.read import BlobView, load_blobs


@dataclass(frozen=True, slots=True)
class Collection:
    """A table and an item as written: they name one collection of files, whatever their case."""

    table: str
    item: str

    @property
    def folded(self) -> tuple[str, str]:
        """Equal for two spellings of one collection."""
        return self.table.casefold(), self.item.casefold()

    @property
    def key(self) -> int:
        """The ordering key of the collection: 63 bits of a hash, negative, since keys of case attachments are not.

        Two collections that share a key are ordered needlessly, and never mixed.
        """
        # No name holds U+0000, so no two collections spell the same text.
        digest = hashlib.sha256("\0".join(self.folded).encode()).digest()
        return -1 - (int.from_bytes(digest[:8]) >> 1)


@dataclass(frozen=True, slots=True)
class File:
    """A file as the table has it. ``acceptance`` and ``position`` name the item that changed it last."""

    id: int
    key: int
    table_name: str
    item_name: str
    title: str
    file_name: str
    blob_id: int
    access_type: AccessType
    show_as_image: bool
    modified_at: datetime
    acceptance: int
    position: int

    @property
    def pair(self) -> Collection:
        """The collection it belongs to."""
        return Collection(self.table_name, self.item_name)


FIELDS = tuple(File.__dataclass_fields__)
COLUMNS = ", ".join(FIELDS)
_LOAD = text(f"SELECT {COLUMNS} FROM file_attachment WHERE key = ANY(:keys) ORDER BY id")  # noqa: S608  constants

FoundFile = tuple[File, BlobView]


def load_files(session: Session, keys: Iterable[int]) -> list[File]:
    """Return the files of all collections with one of these ordering keys, by id."""
    return [File(*row) for row in session.execute(_LOAD, {"keys": list(keys)})]


def find_file(session: Session, pair: Collection) -> list[FoundFile]:
    """Return the files of one collection with their blobs, by id."""
    files = [file for file in load_files(session, [pair.key]) if file.pair.folded == pair.folded]
    named = load_blobs(session, {file.blob_id for file in files})
    return [(file, named[file.blob_id]) for file in files]
