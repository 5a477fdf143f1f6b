"""The contents of an import: bound places for them in the store, and their adoption when the rows come.

A place is an intended key with a seal over what may lie there, so nothing needs
to be remembered between the two: whoever shows the seal was given that place.
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
    """Contents that rows name are not in the store, or no longer: ask for places again, upload, send the part again."""


def reserve_places(database: str, wanted: Sequence[ContentName]) -> list[ContentPlace]:
    """Return for each content that it is stored, or a place that can hold nothing else."""
    names = [(bytes.fromhex(c.sha256), c.size) for c in wanted]
    with transaction(database) as session:
        known = find_blobs(session, names)
    missing = list(dict.fromkeys(name for name in names if name not in known))
    keys = dict(zip(missing, intend(database, len(missing)) if missing else (), strict=True))
    return [_place(content, keys.get(name), name) for content, name in zip(wanted, names, strict=True)]


def _place(content: ContentName, key: str | None, name: ContentAddress) -> ContentPlace:
    if key is None:
        return ContentPlace(sha256=content.sha256, size=content.size)
    # Nothing is to be written after its removal: what begins as the place closes has the other half of the time to end.
    url, headers = put_url(key, min(settings().upload_lifetime, settings().collect_after / 2), name[0])
    return ContentPlace(
        sha256=content.sha256, size=content.size, url=url, headers=headers, place=f"{key}.{_seal(key, name)}"
    )


def _seal(key: str, name: ContentAddress) -> str:
    what = f"import content {key} {name[0].hex()} {name[1]}"
    return hmac.new(settings().s3_secret_key.get_secret_value().encode(), what.encode(), hashlib.sha256).hexdigest()


def named(stored: StoredContent) -> RowContent:
    """Return what a row says to bring ``stored`` (no key: it is among the blobs)."""
    name = (stored.sha256, stored.size)
    place = f"{stored.object_key}.{_seal(stored.object_key, name)}" if stored.object_key else None
    return RowContent(sha256=stored.sha256.hex(), size=stored.size, place=place)


def open_seal(database: str, content: RowContent) -> StoredContent | None:
    """Return where a row's content is (no key: among the blobs), None if its place was never given."""
    name = (bytes.fromhex(content.sha256), content.size)
    if content.place is None:
        return StoredContent("", *name)
    key, _, seal = content.place.rpartition(".")
    if not key.startswith(f"{database}/") or not hmac.compare_digest(seal.encode(), _seal(key, name).encode()):
        return None
    return StoredContent(key, *name)


def verify_uploaded(items: Iterable[NewItem]) -> None:
    """Look whether what lies at the items' places is there whole.

    Raises:
        ContentMissingError: something is not.
        StoreUnavailableError: it may pass.

    """
    wanted = {item.stored for item in items if item.stored is not None and item.stored.object_key}
    there = list_sizes(stored.object_key for stored in wanted)
    if lacking := sum(there.get(stored.object_key) != stored.size for stored in wanted):
        raise ContentMissingError(f"{lacking} contents were not uploaded to their places")


def adopt_contents(session: Session, items: Sequence[NewItem]) -> list[NewItem]:
    """Return ``items`` with blobs in place of what is stored for them.

    Raises:
        ContentMissingError: one is neither a blob nor at an intended place any more.

    """
    stored = [item.stored for item in items if item.stored is not None]
    blob_ids = adopt(session, stored)
    if lost := {content.address for content in stored}.difference(blob_ids):
        raise ContentMissingError(f"{len(lost)} contents are not in the store any more")
    return [
        replace(item, stored=None, blob_id=blob_ids[item.stored.address]) if item.stored else item for item in items
    ]
