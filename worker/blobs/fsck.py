"""Check a ledger against the object store, in both directions, while both are in use.

What the database names and what the bucket holds come sorted by key and are merged, so memory stays flat however many
there are. They are not of one moment: whatever looks wrong is looked at again before it is said.
"""

from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from heapq import merge
from itertools import groupby
from typing import Literal

import psycopg
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from worker.blobs import s3
from worker.blobs.lifecycle import note_garbage
from worker.database import engine, transaction
from worker.errors import BlobMissingError, RepairedElsewhereError

FindingType = Literal["missing", "wrong-size", "wrong-hash", "unnamed", "lost"]
# Everything that we write; what else lies below imports/ is the operator's.
_OURS = ("blobs/", "imports/bodies/", "uploads/")
_AT_ONCE = 2000


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be: about an object key, or about an item that no key is known for."""

    sort: FindingType
    object_key: str
    text: str
    repaired: bool = False


@dataclass(slots=True)
class Tally:
    """What was looked at so far."""

    blobs: int = 0
    objects: int = 0
    bytes: int = 0
    garbage: int = 0
    hashed: int = 0


@dataclass(frozen=True, slots=True)
class _Blob:
    id: int
    size: int
    sha256: bytes


@dataclass(frozen=True, slots=True)
class _Seen:
    """One side's word about a key; ``size`` is that of an object in the bucket."""

    key: str
    blob: _Blob | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Checker:
    """One check of one database. ``hashes``: read every content; ``repair``: do what can do no harm."""

    database: str
    hashes: bool
    repair: bool
    tally: Tally

    def findings(self) -> Iterator[Finding]:
        """Yield what is wrong, as it is found.

        Raises:
            StoreUnavailableError, DBAPIError: a server is away.
            RepairedElsewhereError: another check repairs this database now.

        """
        with _connected(self.database, alone=self.repair) as connection, closing(_named(connection)) as named:
            yield from self._lost()
            for key, words in groupby(merge(named, _objects(self.database), key=lambda s: s.key), lambda s: s.key):
                told = list(words)
                blob = next((seen.blob for seen in told if seen.blob), None)
                size = next((seen.size for seen in told if seen.size is not None), None)
                self._count(blob, size, noted=any(seen.blob is None and seen.size is None for seen in told))
                if blob is not None:
                    yield from self._blob(key, blob, size)
                elif size is not None and len(told) == 1:
                    yield from self._unnamed(key, size)

    def _count(self, blob: _Blob | None, size: int | None, *, noted: bool) -> None:
        self.tally.blobs += blob is not None
        self.tally.objects += size is not None
        self.tally.bytes += size or 0
        self.tally.garbage += noted

    def _blob(self, key: str, blob: _Blob, size: int | None) -> Iterator[Finding]:
        if wrong := self._wrong_with(key, blob, size):
            sort, what = wrong
            # One that was collected meanwhile is as it should be.
            if who := self._named_by(blob.id):
                yield Finding(sort, key, f"{what}: the content of {who}")

    def _wrong_with(self, key: str, blob: _Blob, size: int | None) -> tuple[FindingType, str] | None:
        try:
            if size is None:  # it may have been stored after its place in the listing had passed
                size = s3.size_of(key)
            if size != blob.size:
                return "wrong-size", f"{size} bytes instead of {blob.size}"
            if self.hashes and self._hash(key, size) != blob.sha256:
                return "wrong-hash", "other bytes than those that came"
        except BlobMissingError:  # before it could be read, or all the while
            return "missing", "not in the store"
        return None

    def _hash(self, key: str, size: int) -> bytes:
        sha256 = s3.sha256_of(key, size)
        self.tally.hashed += 1
        return sha256

    def _named_by(self, blob_id: int) -> str:
        """Return who names the blob, in words; nothing if there is no such blob any more."""
        with transaction(self.database) as session:
            row = session.execute(_NAMED_BY, {"id": blob_id}).one_or_none()
        if row is None:
            return ""
        counts = ((row.records, "case attachments"), (row.files, "files"), (row.items, "items"))
        return ", ".join(f"{n} {what}" for n, what in counts if n) or "nothing (it is about to be collected)"

    def _unnamed(self, key: str, size: int) -> Iterator[Finding]:
        # Keys are noted before anything is written there, so one that is noted by now was noted in time.
        with transaction(self.database) as session:
            if session.scalar(_IS_NAMED, {"key": key}) or _size_now(key) is None:
                return
            if self.repair:
                note_garbage(session, [key])
        done = ": noted, the collector removes it later" if self.repair else ""
        yield Finding("unnamed", key, f"{size} bytes that nothing names{done}", repaired=self.repair)

    def _lost(self) -> Iterator[Finding]:
        with transaction(self.database) as session:
            for row in session.execute(_LOST):
                yield Finding(
                    "lost", "", f"item {row.position} of batch {row.batch_id} is open and has lost its content"
                )


# Only "C" compares as the store and Python do. WITH HOLD: the server keeps the result in a file, and no transaction
# that would hold up vacuum stays open meanwhile.
_NAMES = """
    SELECT object_key COLLATE "C" AS key, id, size, sha256 FROM blob
    UNION ALL SELECT object_key, NULL, NULL, NULL FROM garbage
    ORDER BY key
"""
_NAMED_BY = text("""
    SELECT (SELECT count(*) FROM case_attachment AS r WHERE r.blob_id = blob.id) AS records,
           (SELECT count(*) FROM file_attachment AS f WHERE f.blob_id = blob.id) AS files,
           (SELECT count(*) FROM item AS i WHERE i.blob_id = blob.id) AS items
    FROM blob WHERE id = :id
""")
_IS_NAMED = text("""
    SELECT EXISTS (SELECT FROM blob WHERE object_key = :key) OR EXISTS (SELECT FROM garbage WHERE object_key = :key)
""")
_LOST = text("""
    SELECT i.batch_id, i.position
    FROM chunk AS c JOIN item AS i ON i.batch_id = c.batch_id AND i.position BETWEEN c.first AND c.last
    WHERE c.due_at IS NOT NULL AND i.outcome IS NULL AND i.content IS NULL AND i.blob_id IS NULL
      AND (i.payload ->> 'content' = 'set' OR i.payload -> 'contents' = 'true')
""")


# Any fixed number: the advisory lock of the process that repairs a database.
_LOCK = 0x11_33_C4_EC


@contextmanager
def _connected(database: str, *, alone: bool) -> Iterator[Connection]:
    """Yield a connection of its own, each statement a transaction; ``alone``: no other check repairs meanwhile."""
    with engine(database).connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.detach()  # not to be used again: the lock ends with it, however the check does
        if alone and not connection.scalar(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": _LOCK}):
            raise RepairedElsewhereError("another check repairs it at this moment")
        yield connection


def _named(connection: Connection) -> Generator[_Seen]:
    driver = connection.connection.dbapi_connection
    assert isinstance(driver, psycopg.Connection)
    try:
        with driver.cursor("limpet_check", withhold=True) as names:
            names.itersize = _AT_ONCE
            for key, ident, size, sha256 in names.execute(_NAMES):
                yield _Seen(key, None if ident is None else _Blob(ident, size, bytes(sha256)))
    except psycopg.Error as fault:  # past SQLAlchemy, so translated here
        raise DBAPIError("names", None, fault) from fault


def _objects(database: str) -> Iterator[_Seen]:
    for folder in _OURS:
        for key, size in s3.listing(f"{database}/{folder}"):
            yield _Seen(key, size=size)


def _size_now(key: str) -> int | None:
    try:
        return s3.size_of(key)
    except BlobMissingError:
        return None
