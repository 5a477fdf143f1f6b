"""The life of an object key, from intention to removal.

*intended* (a garbage row, committed before the object is written) → *adopted* (in one transaction, a blob row replaces
the garbage row) → *garbage* again when nothing names the blob. Keys have a random part and are never used twice. So a
late removal can't hit a new upload, and a writer that was frozen for long can't adopt an object that was removed.
"""

import secrets
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

from worker.blobs import s3
from worker.database import transaction
from worker.settings import settings

_MAX_LISTINGS = 16  # at the same time
_SUFFIX_DIGITS = 6


ContentAddress = tuple[bytes, int]
"""What identifies a content: its SHA-256 and its size."""


@dataclass(frozen=True, slots=True)
class StoredContent:
    """An object that was written under an intended key and waits to be adopted; no key: it should be a blob already."""

    object_key: str
    sha256: bytes
    size: int

    @property
    def address(self) -> ContentAddress:
        """What its blob is found by."""
        return self.sha256, self.size


def intend(database: str, count: int) -> list[str]:
    """Return ``count`` new object keys, each due for removal unless it is adopted in time; committed.

    They differ in their last digits only, so that one listing has them all (`list_sizes`).
    """
    stem = f"{database}/blobs/{secrets.token_hex(1)}/{secrets.token_hex(16)}"
    keys = [f"{stem}{number:0{_SUFFIX_DIGITS}x}" for number in range(count)]
    with transaction(database) as session:
        note_garbage(session, keys)
    return keys


_NOTE = text("""
    INSERT INTO garbage SELECT key, now() + :age FROM unnest(CAST(:keys AS text[])) AS key
    WHERE NOT EXISTS (SELECT FROM blob WHERE object_key = key) ON CONFLICT DO NOTHING
""")


def note_garbage(session: Session, keys: Sequence[str], due_in: timedelta | None = None) -> None:
    """Note object keys for removal after ``due_in`` (None: ``collect_after``), except those that a blob names."""
    session.execute(_NOTE, {"keys": list(keys), "age": settings().collect_after if due_in is None else due_in})


def list_sizes(keys: Iterable[str]) -> dict[str, int]:
    """Return the size in bytes of each object under ``keys``, and of those intended together with them.

    Keys that were intended together need one listing. A key without an object is left out.

    Raises:
        StoreUnavailableError: transient.

    """
    stems = {key[:-_SUFFIX_DIGITS] for key in keys}
    if not stems:
        return {}
    with ThreadPoolExecutor(min(len(stems), _MAX_LISTINGS)) as pool:
        return {key: size for objects in pool.map(lambda stem: list(s3.listing(stem)), stems) for key, size in objects}


_FIND = text("""
    SELECT id, sha256, size FROM blob
    WHERE (sha256, size) IN (SELECT * FROM unnest(CAST(:sha256 AS bytea[]), CAST(:size AS bigint[])))
    FOR KEY SHARE
""")


def find_blobs(session: Session, addresses: Iterable[ContentAddress]) -> dict[ContentAddress, int]:
    """Return the blobs of those contents that are stored, locked against removal."""
    wanted = list(dict.fromkeys(addresses))
    if not wanted:
        return {}
    rows = session.execute(_FIND, {"sha256": [a[0] for a in wanted], "size": [a[1] for a in wanted]})
    return {(bytes(row.sha256), row.size): row.id for row in rows}


# Rows are locked in the order of their keys, then inserted in the order of their hashes: adoptions that share contents
# wait for each other, but never in a circle. A key whose content another transaction adopts first stays noted.
_ADOPT = text("""
    WITH wanted AS (
        SELECT * FROM unnest(CAST(:key AS text[]), CAST(:sha256 AS bytea[]), CAST(:size AS bigint[]))
            AS w (object_key, sha256, size)
    ), intended AS (
        SELECT object_key, sha256, wanted.size FROM wanted JOIN garbage USING (object_key)
        ORDER BY object_key FOR UPDATE OF garbage
    ), made AS (
        INSERT INTO blob (sha256, size, object_key)
        SELECT sha256, size, object_key FROM intended ORDER BY sha256, size
        ON CONFLICT (sha256, size) DO NOTHING RETURNING id, sha256, size, object_key
    ), adopted AS (DELETE FROM garbage USING made WHERE garbage.object_key = made.object_key)
    SELECT id, sha256, size FROM made
""")


def adopt(session: Session, stored: Iterable[StoredContent]) -> dict[ContentAddress, int]:
    """Return the blobs of these contents, each made of its object unless there is one already; locked against removal.

    A content is missing from the answer if its key was removed meanwhile: the writer slept past its due time and must
    store it again.
    """
    wanted: dict[ContentAddress, StoredContent] = {}
    for content in stored:
        if content.object_key or content.address not in wanted:
            wanted[content.address] = content
    blob_ids = find_blobs(session, wanted)
    # A second copy is due in its time and not sooner: a repeated write may still be on its way to the store, and what
    # is written after a removal stays for good.
    fresh = [content for address, content in wanted.items() if address not in blob_ids and content.object_key]
    if not fresh:
        return blob_ids
    columns = {
        "key": [content.object_key for content in fresh],
        "sha256": [content.sha256 for content in fresh],
        "size": [content.size for content in fresh],
    }
    blob_ids |= {(bytes(row.sha256), row.size): row.id for row in session.execute(_ADOPT, columns)}
    if left := [content for content in fresh if content.address not in blob_ids]:
        blob_ids |= find_blobs(session, [content.address for content in left])
        note_garbage(session, [content.object_key for content in left])
    return blob_ids
