"""The life of an object key, from intention to removal.

The life of an object key: *intended* (a garbage row, committed before the
object is written) → *adopted* (the garbage row is gone, a blob row names the
key, in one transaction) → *garbage* again when nothing names the blob. Keys
carry a random part and are never used twice, so a late removal can't hit a new
upload, and a writer that was frozen for long can't adopt what was removed.
"""

import secrets
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from worker.blobs import s3
from worker.database import transaction
from worker.settings import settings

_LOOKERS = 16
_DIGITS = 6


@dataclass(frozen=True, slots=True)
class StoredContent:
    """An object that was written under an intended key and waits to be adopted."""

    object_key: str
    sha256: bytes
    size: int


def intend(database: str, count: int) -> list[str]:
    """Return ``count`` new object keys, each due for removal unless it is adopted in time; committed.

    They differ in their last digits only, so that one listing tells of all (`list_sizes`).
    """
    stem = f"{database}/blobs/{secrets.token_hex(1)}/{secrets.token_hex(16)}"
    keys = [f"{stem}{number:0{_DIGITS}x}" for number in range(count)]
    note_garbage(database, keys)
    return keys


_NOTE = text("""
    INSERT INTO garbage SELECT key, now() + :age FROM unnest(CAST(:keys AS text[])) AS key
    WHERE NOT EXISTS (SELECT FROM blob WHERE object_key = key) ON CONFLICT DO NOTHING
""")


def note_garbage(database: str, keys: Sequence[str]) -> None:
    """Note ``keys`` for removal, as when they were intended: what came after a removal would stay for good; committed.

    One that a blob names is left out.
    """
    with transaction(database) as session:
        session.execute(_NOTE, {"keys": keys, "age": settings().collect_after})


def list_sizes(keys: Iterable[str]) -> dict[str, int]:
    """Return how many bytes lie under each of those ``keys`` that the store has, one look for all intended together.

    Raises:
        StoreUnavailableError: it may pass.

    """
    stems = {key[:-_DIGITS] for key in keys}
    if not stems:
        return {}
    with ThreadPoolExecutor(min(len(stems), _LOOKERS)) as pool:
        return {key: size for found in pool.map(lambda stem: list(s3.listing(stem)), stems) for key, size in found}


_FIND = text("SELECT id FROM blob WHERE sha256 = :sha256 AND size = :size FOR KEY SHARE")
_ADOPT = text("""
    WITH intended AS (DELETE FROM garbage WHERE object_key = :object_key RETURNING object_key)
    INSERT INTO blob (sha256, size, object_key) SELECT :sha256, :size, object_key FROM intended
    RETURNING id
""")


def adopt(session: Session, stored: StoredContent) -> int | None:
    """Return the blob with that content, made of ``stored`` unless there is one already; locked against removal.

    None: the key was removed meanwhile (the writer slept past its due time), so store it again.
    """
    # One content is adopted by one transaction at a time; without this lock two would race for the unique index
    # and the loser would have lost its whole transaction.
    session.execute(
        text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": int.from_bytes(stored.sha256[:8], signed=True)}
    )
    found = find_blob(session, stored.sha256, stored.size)
    if found is not None:
        # Ours is a second copy, due in its time and not sooner: a write that the store did not answer, and that was
        # repeated, may still be on its way, and what is written after its removal stays for good.
        return found
    made: int | None = session.scalars(
        _ADOPT, {"object_key": stored.object_key, "sha256": stored.sha256, "size": stored.size}
    ).one_or_none()
    if made is None:
        session.execute(
            text("INSERT INTO garbage VALUES (:key, now()) ON CONFLICT DO NOTHING"), {"key": stored.object_key}
        )
    return made


def find_blob(session: Session, sha256: bytes, size: int) -> int | None:
    """Return the blob with that content, locked against removal; None if there is none."""
    found: int | None = session.scalars(_FIND, {"sha256": sha256, "size": size}).one_or_none()
    return found
