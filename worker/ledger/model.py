"""What is appended to the ledger, and what comes of it: batches, items, chunks to ring for."""

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
    """One line to accept. ``key`` orders it (None: nothing does); a ``verdict`` means it is refused already.

    Its bytes, if it brings any, ride inline as ``content`` or are a blob. ``stored`` and ``upload_id`` say where
    they are before that; the edge turns both into a blob first.
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
        """Whether all that there is to do is to append it."""
        brings = self.content is not None or self.blob_id or self.stored or self.upload_id
        return not (self.verdict or brings or KINDS[self.kind].ordered_by == "collection")

    @property
    def inline_size(self) -> int:
        """How many bytes ride in the ledger."""
        if isinstance(self.content, Spooled):
            return self.content.size
        return len(self.content or b"")


@dataclass(frozen=True, slots=True)
class NewBatch:
    """What one request submits."""

    kind: str
    caller: str
    items: Sequence[NewItem]
    idempotency_key: str | None = None
    request_sha256: bytes | None = None

    @property
    def is_light(self) -> bool:
        """Whether one statement is all that it takes: small, and no item is refused, brings bytes or waits its turn."""
        return 0 < len(self.items) <= settings().small_batch and all(item.is_light for item in self.items)


@dataclass(frozen=True, slots=True)
class AppendTarget:
    """Where items are appended: to which batch, under which order number, from which position on, rung on which queue.

    ``rate``: so many items a second, in chunks that become due one after another from ``start`` on.
    """

    batch_id: UUID
    acceptance: int
    first: int = 0
    queue: str = DEFAULT_QUEUE
    rate: int | None = None
    start: datetime | None = None


@dataclass(frozen=True, slots=True)
class ChunkMessage:
    """What a message says: which chunk, and enough for a person reading Flower."""

    chunk_id: int
    batch_id: UUID
    first: int
    last: int
    queue: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """A batch that is durable. ``replayed``: it was there already, under the same idempotency key.

    ``counted_invalid``: so many items are refused, and counted by the batch already.
    """

    batch_id: UUID
    messages: list[ChunkMessage] = field(default_factory=list)
    replayed: bool = False
    counted_invalid: int = 0


class ItemId(NamedTuple):
    """Which item: its batch and its position there."""

    batch_id: UUID
    position: int


@dataclass(frozen=True, slots=True)
class ChunkRange:
    """A chunk that this worker holds: which items of which batch."""

    chunk_id: int
    batch_id: UUID
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Claim(ChunkRange):
    """A chunk that is taken. ``attempt`` fences it: whoever claims next has a higher one.

    ``alone``: a worker died over this chunk, so its items run one by one.
    """

    attempt: int
    alone: bool


def spans(chunks: Sequence[ChunkRange]) -> dict[str, list[object]]:
    """Return which chunks and items are held, as arrays for a statement."""
    return {
        "chunk_ids": [chunk.chunk_id for chunk in chunks],
        "batch_ids": [chunk.batch_id for chunk in chunks],
        "firsts": [chunk.first for chunk in chunks],
        "lasts": [chunk.last for chunk in chunks],
    }
