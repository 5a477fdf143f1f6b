"""Where the content of an entry is, and the item that brings it."""

from typing import Protocol
from uuid import UUID

from worker.blobs.lifecycle import StoredContent
from worker.blobs.spool import Spooled
from worker.ledger.model import NewItem

Content = bytes | Spooled | StoredContent | UUID
"""The bytes, their place in a spool or in the object store, or the id of the upload that has them."""


class ContentSource(Protocol):
    """Finds the content of one entry."""

    def __call__(self, field: str, value: object, *, wanted: bool = True) -> Content | None:
        """Return the content that ``value``, the entry's member ``field``, stands for; None if there is none.

        Not ``wanted``: the entry deletes, so that its content is not used.

        Raises:
            InvalidEntryError: the entry has no such content.

        """


def new_item(kind: str, key: int | None, payload: dict[str, object], content: Content | None) -> NewItem:
    """Return the item that brings ``content``."""
    return NewItem(
        kind,
        key,
        payload,
        content=content if isinstance(content, bytes | Spooled) else None,
        stored=content if isinstance(content, StoredContent) else None,
        upload_id=content if isinstance(content, UUID) else None,
    )
