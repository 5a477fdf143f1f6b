"""The contents of an import: places for uploads in the store, and their adoption when the rows come.

A place is an intended key with a seal (HMAC) over the content address that may lie
there. The seal proves that a server gave the place, so the ledger keeps no state for it.
"""

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import replace

from sqlalchemy import text
from sqlalchemy.orm import Session

from schemas.imports import ContentName, ContentPlace, RowContent
from worker.blobs.lifecycle import StoredContent, intend, list_sizes
from worker.blobs.presign import put_url
from worker.database import transaction
from worker.errors import LimpetError
from worker.ledger.model import NewItem
from worker.settings import settings

_Name = tuple[bytes, int]


class ContentMissingError(LimpetError):
    """Contents of rows are not in the store (any more): ask for places again, upload, and send the part again."""


def reserve_places(database: str, wanted: Sequence[ContentName]) -> list[ContentPlace]:
    """Return a place for each content that is not stored; the place takes no other bytes."""
    names = [(bytes.fromhex(c.sha256), c.size) for c in wanted]
    with transaction(database) as session:
        known = find_blobs(session, names)
    missing = list(dict.fromkeys(name for name in names if name not in known))
    keys = dict(zip(missing, intend(database, len(missing)) if missing else (), strict=True))
    return [_place(content, keys.get(name), name) for content, name in zip(wanted, names, strict=True)]


def _place(content: ContentName, key: str | None, name: _Name) -> ContentPlace:
    if key is None:
        return ContentPlace(sha256=content.sha256, size=content.size)
    # No upload may end after the removal: one that starts as the place expires has the other half of the time to end.
    url, headers = put_url(key, name[0], min(settings().upload_lifetime, settings().collect_after / 2))
    return ContentPlace(
        sha256=content.sha256, size=content.size, url=url, headers=headers, place=f"{key}.{_seal(key, name)}"
    )


def _seal(key: str, name: _Name) -> str:
    what = f"import content {key} {name[0].hex()} {name[1]}"
    return hmac.new(settings().s3_secret_key.get_secret_value().encode(), what.encode(), hashlib.sha256).hexdigest()


def named(stored: StoredContent) -> RowContent:
    """Return the content member of a row that brings ``stored`` (without a key it is a blob already)."""
    name = (stored.sha256, stored.size)
    place = f"{stored.object_key}.{_seal(stored.object_key, name)}" if stored.object_key else None
    return RowContent(sha256=stored.sha256.hex(), size=stored.size, place=place)


def open_seal(database: str, content: RowContent) -> StoredContent | None:
    """Return where the content of a row is (without a key it is a blob), None if the seal is invalid."""
    name = (bytes.fromhex(content.sha256), content.size)
    if content.place is None:
        return StoredContent("", *name)
    key, _, seal = content.place.rpartition(".")
    if not key.startswith(f"{database}/") or not hmac.compare_digest(seal.encode(), _seal(key, name).encode()):
        return None
    return StoredContent(key, *name)


_FIND = text("""
    SELECT id, sha256, size FROM blob
    WHERE (sha256, size) IN (SELECT * FROM unnest(CAST(:sha256 AS bytea[]), CAST(:size AS bigint[])))
    FOR KEY SHARE
""")


def find_blobs(session: Session, names: Iterable[_Name]) -> dict[_Name, int]:
    """Return the blobs of those contents that are stored, locked against removal."""
    wanted = list(dict.fromkeys(names))
    if not wanted:
        return {}
    rows = session.execute(_FIND, {"sha256": [n[0] for n in wanted], "size": [n[1] for n in wanted]})
    return {(bytes(row.sha256), row.size): row.id for row in rows}


def verify_uploaded(items: Iterable[NewItem]) -> None:
    """Check that the objects at the places of ``items`` exist with the right size.

    Raises:
        ContentMissingError: some do not.
        StoreUnavailableError: the store does not answer.

    """
    wanted = {item.stored for item in items if item.stored is not None and item.stored.object_key}
    there = list_sizes(stored.object_key for stored in wanted)
    if lacking := sum(there.get(stored.object_key) != stored.size for stored in wanted):
        raise ContentMissingError(f"{lacking} contents were not uploaded to their places")


# As blobs.adopt, for many at once: the same locks in the same order, three statements for all, not for each.
_LOCKS = text("SELECT pg_advisory_xact_lock(l) FROM unnest(CAST(:locks AS bigint[])) AS l")
_ADOPT = text("""
    WITH wanted AS (
        SELECT * FROM unnest(CAST(:key AS text[]), CAST(:sha256 AS bytea[]), CAST(:size AS bigint[]))
            AS w (object_key, sha256, size)
    ), intended AS (DELETE FROM garbage USING wanted WHERE garbage.object_key = wanted.object_key
                    RETURNING garbage.object_key)
    INSERT INTO blob (sha256, size, object_key)
    SELECT sha256, size, object_key FROM wanted JOIN intended USING (object_key)
    RETURNING id, sha256, size
""")


def adopt_contents(session: Session, items: Sequence[NewItem]) -> list[NewItem]:
    """Adopt the stored contents as blobs; return ``items`` with the blob ids.

    Raises:
        ContentMissingError: a content is neither a blob nor at an intended place any more.

    """
    stored = {(s.sha256, s.size): s for item in items if (s := item.stored) is not None}
    if not stored:
        return list(items)
    for item in items:
        if item.stored is not None and item.stored.object_key:
            stored[item.stored.sha256, item.stored.size] = item.stored
    blob_ids = _adopt(session, stored)
    if len(blob_ids) < len(stored):
        raise ContentMissingError(f"{len(stored) - len(blob_ids)} contents are not in the store any more")
    return [
        replace(item, stored=None, blob_id=blob_ids[item.stored.sha256, item.stored.size]) if item.stored else item
        for item in items
    ]


def _adopt(session: Session, stored: dict[_Name, StoredContent]) -> dict[_Name, int]:
    placed = sorted((s for s in stored.values() if s.object_key), key=lambda s: s.sha256)
    session.execute(_LOCKS, {"locks": [int.from_bytes(s.sha256[:8], signed=True) for s in placed]})
    known = find_blobs(session, stored)
    fresh = [s for s in placed if (s.sha256, s.size) not in known]
    # A place that is not needed stays as long as its URL is good: what is written after its removal stays for good.
    if not fresh:
        return known
    values = {
        "key": [s.object_key for s in fresh],
        "sha256": [s.sha256 for s in fresh],
        "size": [s.size for s in fresh],
    }
    return known | {(bytes(row.sha256), row.size): row.id for row in session.execute(_ADOPT, values)}
