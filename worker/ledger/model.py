"""The values that go into the ledger and come out of it: batches, items, chunks, messages."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from schemas.kinds import KINDS
from worker.blobs.lifecycle import StoredContent
from worker.blobs.spool import Spooled
from worker.settings import settings
from worker.verdicts import Verdict

DEFAULT_QUEUE = "limpet"
BULK_QUEUE = "limpet.bulk"


@dataclass(frozen=True, slots=True)
class NewItem:
    """One item to accept. Items with the same ``key`` are carried out in order; a ``verdict`` means it is invalid.

    Its bytes, if any, are inline as ``content`` or a blob. ``stored`` is an object to be adopted as the blob;
    ``upload_id`` is the upload that it was taken from. `accept` replaces ``stored`` by the blob.
    """

    kind: str
    key: int | None
    payload: dict[str, object]
    content: bytes | Spooled | None = None
    blob_id: int | None = None
    verdict: Verdict | None = None
    stored: StoredContent | None = None
    upload_id: UUID | None = None

    @property
    def is_light(self) -> bool:
        """Whether accepting it takes no more than an insert."""
        brings = self.content is not None or self.blob_id or self.stored or self.upload_id
        return not (self.verdict or brings or KINDS[self.kind].ordered_by == "collection")

    @property
    def inline_size(self) -> int:
        """The bytes of content inside the ledger."""
        if isinstance(self.content, Spooled):
            return self.content.size
        return len(self.content or b"")


@dataclass(frozen=True, slots=True)
class NewBatch:
    """What one request submits; ``request_sha256`` tells whether a repeated idempotency key is the same request."""

    kind: str
    caller: str
    items: Sequence[NewItem]
    idempotency_key: str | None = None
    request_sha256: bytes | None = None

    @property
    def is_light(self) -> bool:
        """Whether one statement accepts it: small, and each item is valid, without bytes, and not of a file."""
        return 0 < len(self.items) <= settings().small_batch and all(item.is_light for item in self.items)


@dataclass(frozen=True, slots=True)
class AppendTarget:
    """Where items are appended: the batch, the acceptance number, the first position, the queue of their messages.

    ``rate`` limits the items a second: chunks become due one after another from ``start`` on.
    """

    batch_id: UUID
    acceptance: int
    first: int = 0
    queue: str = DEFAULT_QUEUE
    rate: int | None = None
    start: datetime | None = None


@dataclass(frozen=True, slots=True)
class ChunkMessage:
    """The facts of one message: the chunk, its queue, and what Flower shows of it."""

    chunk_id: int
    batch_id: UUID
    first: int
    last: int
    queue: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """A batch in the ledger. ``replayed``: the same request was accepted before, under the same idempotency key.

    ``counted_invalid`` is the number of invalid items in chunks that are done, which the batch counts already.
    """

    batch_id: UUID
    messages: list[ChunkMessage] = field(default_factory=list)
    replayed: bool = False
    counted_invalid: int = 0


class ItemId(NamedTuple):
    """The identity of an item: its batch and its position there."""

    batch_id: UUID
    position: int


@dataclass(frozen=True, slots=True)
class ChunkRange:
    """A chunk and its items: positions ``first`` to ``last`` of the batch."""

    chunk_id: int
    batch_id: UUID
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Claim(ChunkRange):
    """A chunk that is taken. ``attempt`` fences it: the next claim has a higher one.

    ``alone``: a worker died while it had this chunk, so its items run one by one.
    """

    attempt: int
    alone: bool


def spans(chunks: Sequence[ChunkRange]) -> dict[str, list[object]]:
    """Return the ids and ranges of the chunks as arrays, the parameters of a statement."""
    return {
        "chunk_ids": [chunk.chunk_id for chunk in chunks],
        "batch_ids": [chunk.batch_id for chunk in chunks],
        "firsts": [chunk.first for chunk in chunks],
        "lasts": [chunk.last for chunk in chunks],
    }
