"""The contents of an import: places for uploads in the store, and their adoption when the rows come.

A place is an intended key with a seal (HMAC) over the content address that may lie
there. The seal proves that a server gave the place, so the ledger keeps no state for it.
"""

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import replace

from sqlalchemy.orm import Session

from schemas.imports import ContentName, ContentPlace, RowContent
from worker.blobs.lifecycle import ContentAddress, StoredContent, adopt, find_blobs, intend, list_sizes
from worker.blobs.presign import put_url
from worker.database import transaction
from worker.errors import LimpetError
from worker.ledger.model import NewItem
from worker.settings import settings


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


def _place(content: ContentName, key: str | None, name: ContentAddress) -> ContentPlace:
    if key is None:
        return ContentPlace(sha256=content.sha256, size=content.size)
    # No upload may end after the removal: one that starts as the place expires has the other half of the time to end.
    url, headers = put_url(key, min(settings().upload_lifetime, settings().collect_after / 2), name[0])
    return ContentPlace(
        sha256=content.sha256, size=content.size, url=url, headers=headers, place=f"{key}.{_seal(key, name)}"
    )


def _seal(key: str, name: ContentAddress) -> str:
    what = f"import content {key} {name[0].hex()} {name[1]}"
    return hmac.new(settings().s3_secret_key.get_secret_value().encode(), what.encode(), hashlib.sha256).hexdigest()


def to_row_content(stored: StoredContent) -> RowContent:
    """Return the content member of a row that brings ``stored`` (without a key it is a blob already)."""
    place = f"{stored.object_key}.{_seal(stored.object_key, stored.address)}" if stored.object_key else None
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


def verify_uploaded(items: Iterable[NewItem]) -> None:
    """Check that the objects at the places of ``items`` exist with the right size.

    Raises:
        ContentMissingError: some do not.
        StoreUnavailableError: the store does not answer.

    """
    wanted = {item.stored for item in items if item.stored is not None and item.stored.object_key}
    sizes = list_sizes(stored.object_key for stored in wanted)
    if missing := sum(sizes.get(stored.object_key) != stored.size for stored in wanted):
        raise ContentMissingError(f"{missing} contents were not uploaded to their places")


def adopt_contents(session: Session, items: Sequence[NewItem]) -> list[NewItem]:
    """Adopt the stored contents as blobs; return ``items`` with the blob ids.

    Raises:
        ContentMissingError: a content is neither a blob nor at an intended place any more.

    """
    stored = [item.stored for item in items if item.stored is not None]
    blob_ids = adopt(session, stored)
    if lost := {content.address for content in stored}.difference(blob_ids):
        raise ContentMissingError(f"{len(lost)} contents are not in the store any more")
    return [
        replace(item, stored=None, blob_id=blob_ids[item.stored.address]) if item.stored else item for item in items
    ]
