"""Blobs: equal content once in a database, stored before any record names it.

The life of an object key: *intended* (a garbage row, committed before the
object is written) → *adopted* (the garbage row is gone, a blob row names the
key, in one transaction) → *garbage* again when nothing names the blob. Keys
carry a random part and are never used twice, so a late removal can't hit a new
upload, and a writer that was frozen for long can't adopt what was removed.
"""

import hashlib
import io
import secrets
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from worker import store
from worker.database import count, transaction
from worker.ledger.arrows import Place
from worker.log import event, in_short
from worker.settings import settings
from worker.stored import Stored

_WRITERS, _LOOKERS = 8, 16
_DIGITS = 6
_PULSE = 2.0  # seconds
_DISOWN_AT_ONCE = 500
_EMPTY_AT_ONCE = 20


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes on their way to the store."""

    data: bytes
    sha256: bytes

    @classmethod
    def of(cls, data: bytes) -> "Content":
        """Return ``data`` with its hash."""
        return cls(data, hashlib.sha256(data).digest())


def intend(database: str, count: int) -> list[str]:
    """Return ``count`` new object keys, each due for removal unless it is adopted in time; committed.

    They differ in their last digits only, so that one listing tells of all (`sizes`).
    """
    stem = f"{database}/blobs/{secrets.token_hex(1)}/{secrets.token_hex(16)}"
    keys = [f"{stem}{number:0{_DIGITS}x}" for number in range(count)]
    note(database, keys)
    return keys


_NOTE = text("""
    INSERT INTO garbage SELECT key, now() + :age FROM unnest(CAST(:keys AS text[])) AS key
    WHERE NOT EXISTS (SELECT FROM blob WHERE object_key = key) ON CONFLICT DO NOTHING
""")


def note(database: str, keys: Sequence[str]) -> None:
    """Note ``keys`` for removal, as when they were intended: what came after a removal would stay for good; committed.

    One that a blob names is left out.
    """
    with transaction(database) as session:
        session.execute(_NOTE, {"keys": keys, "age": settings().collect_after})


def sizes(keys: Iterable[str]) -> dict[str, int]:
    """Return how many bytes lie under each of those ``keys`` that the store has, one look for all intended together.

    Raises:
        StoreUnavailableError: it may pass.

    """
    stems = {key[:-_DIGITS] for key in keys}
    if not stems:
        return {}
    with ThreadPoolExecutor(min(len(stems), _LOOKERS)) as pool:
        return {key: size for found in pool.map(lambda stem: list(store.listing(stem)), stems) for key, size in found}


_FIND = text("SELECT id FROM blob WHERE sha256 = :sha256 AND size = :size FOR KEY SHARE")
_ADOPT = text("""
    WITH intended AS (DELETE FROM garbage WHERE object_key = :object_key RETURNING object_key)
    INSERT INTO blob (sha256, size, object_key) SELECT :sha256, :size, object_key FROM intended
    RETURNING id
""")


def adopt(session: Session, stored: Stored) -> int | None:
    """Return the blob with that content, made of ``stored`` unless there is one already; locked against removal.

    None: the key was removed meanwhile (the writer slept past its due time), so store it again.
    """
    # One content is adopted by one transaction at a time; without this lock two would race for the unique index
    # and the loser would have lost its whole transaction.
    session.execute(
        text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": int.from_bytes(stored.sha256[:8], signed=True)}
    )
    found = _find(session, stored.sha256, stored.size)
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


def _find(session: Session, sha256: bytes, size: int) -> int | None:
    found: int | None = session.scalars(_FIND, {"sha256": sha256, "size": size}).one_or_none()
    return found


def write(database: str, contents: Sequence[Content], pulse: Callable[[], None]) -> list[Stored]:
    """Store contents that no blob of ``database`` holds yet; what is held already is left out.

    ``pulse`` is called every few seconds meanwhile, for whoever must show that it is alive.

    Raises:
        StoreUnavailableError: at least one could not be stored; nothing names the others.

    """
    distinct = {(c.sha256, len(c.data)): c for c in contents}
    with transaction(database) as session:
        missing = [c for (sha256, size), c in distinct.items() if _find(session, sha256, size) is None]
    if not missing:
        return []
    stored = [
        Stored(key, c.sha256, len(c.data)) for key, c in zip(intend(database, len(missing)), missing, strict=True)
    ]
    _put_all(zip(stored, missing, strict=True), pulse)
    return stored


def assign(session: Session, contents: Sequence[tuple[Place, Content]], stored: Sequence[Stored]) -> None:
    """Let open items name their blobs instead of carrying bytes: adopt what was stored, find the rest.

    ``contents`` come oldest item first. An item whose blob is gone again (the collector was faster) keeps its bytes,
    so it is stored once more.
    """
    fresh = {(s.sha256, s.size): s for s in stored}
    named: dict[tuple[bytes, int], int | None] = {}
    # One order for all, because adopting locks.
    for content in sorted((content for _, content in contents), key=lambda c: c.sha256):
        which = (content.sha256, len(content.data))
        if which not in named:
            ours = fresh.get(which)
            named[which] = adopt(session, ours) if ours else _find(session, *which)
    # Then the items, in the order in which they came: that in which every bite locks them.
    for place, content in contents:
        blob_id = named[content.sha256, len(content.data)]
        if blob_id is not None:
            session.execute(_ASSIGN, {"blob_id": blob_id, **place._asdict()})


_ASSIGN = text("""
    UPDATE item SET blob_id = :blob_id, content = NULL
    WHERE batch_id = :batch_id AND position = :position AND outcome IS NULL
""")


def _put_all(pairs: Iterable[tuple[Stored, Content]], pulse: Callable[[], None]) -> None:
    pool = ThreadPoolExecutor(_WRITERS)
    pending = {pool.submit(store.put, s.object_key, io.BytesIO(c.data), s.size) for s, c in pairs}
    try:
        while pending:
            done, pending = wait(pending, timeout=_PULSE, return_when=FIRST_EXCEPTION)
            for one in done:
                one.result()
            pulse()
    finally:
        # What has not begun never will; what has is waited for, alive all the while.
        pool.shutdown(wait=False, cancel_futures=True)
        # To wait() what was cancelled before it began is never done.
        begun = [one for one in pending if not one.cancelled()]
        while wait(begun, timeout=_PULSE).not_done:
            pulse()


_COLLECT = text("""
    WITH unnamed AS (
        SELECT id FROM blob
        WHERE stored_at < now() - :age
          AND NOT EXISTS (SELECT FROM case_attachment AS r WHERE r.blob_id = blob.id)
          AND NOT EXISTS (SELECT FROM file_attachment AS f WHERE f.blob_id = blob.id)
          AND NOT EXISTS (SELECT FROM item WHERE item.blob_id = blob.id)
        LIMIT :limit FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM blob USING unnamed WHERE blob.id = unnamed.id RETURNING object_key
    )
    INSERT INTO garbage SELECT object_key, now() FROM gone ON CONFLICT DO NOTHING
""")
# Never what a manifest is still read from, however long its import is paused; nor what a blob names, whoever noted it.
_DUE = text("""
    SELECT object_key FROM garbage
    WHERE due_at <= now()
      AND NOT EXISTS (SELECT FROM loader WHERE loader.manifest = garbage.object_key AND loader.due_at IS NOT NULL)
      AND NOT EXISTS (SELECT FROM blob WHERE blob.object_key = garbage.object_key)
    ORDER BY due_at LIMIT :limit FOR UPDATE OF garbage SKIP LOCKED
""")


def collect(database: str, age: timedelta) -> int:
    """Remove blobs older than ``age`` that nothing names, and objects that are due; return how many objects went.

    The row goes first, and the foreign keys refuse while a record or an item
    names it. A removed object's garbage row goes after the object, so a crash
    between the two only repeats the removal.
    """
    _disown(database, age)
    gone = 0
    while removed := _empty_some(database):
        gone += removed
    return gone


def _disown(database: str, age: timedelta) -> None:
    found = _DISOWN_AT_ONCE
    while found == _DISOWN_AT_ONCE:
        try:
            with transaction(database) as session:
                found = count(session, _COLLECT, {"age": age, "limit": _DISOWN_AT_ONCE})
        except IntegrityError as named:  # somebody named one between our look and our removal: the next run sees it
            event("blobs.collect.named_meanwhile", database=database, reason=in_short(named))
            return


def _empty_some(database: str) -> int:
    # Few at a time: the transaction waits for the store meanwhile, and the server ends one that idles for long.
    with transaction(database) as session:
        keys = list(session.scalars(_DUE, {"limit": _EMPTY_AT_ONCE}))
        for key in keys:
            store.remove(key)
        session.execute(text("DELETE FROM garbage WHERE object_key = ANY(:keys)"), {"keys": keys})
    return len(keys)
