"""The cut: how many items of a batch one Celery task carries.

While the workers have hands idle_processes, each item of a small batch is a task of its
own, to be seen in Flower. Once they are busy, or the batch is larger, chunks
grow: end to end, chunks of 100 are some 50 times faster than chunks of one.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from worker.settings import settings
from worker.verdicts import Verdict


class Divisible(Protocol):
    """What the cut looks at."""

    @property
    def inline_size(self) -> int:
        """How many bytes ride in the ledger."""

    @property
    def verdict(self) -> Verdict | None:
        """Set if it is refused already."""


class ChunkPlan(NamedTuple):
    """Positions of one chunk, both inclusive, and how many of its items are refused already."""

    first: int
    last: int
    invalid: int

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to carry out."""
        return self.invalid == self.last - self.first + 1


class Load(NamedTuple):
    """How much there is to do: chunks that are new or at work, and items that came in small batches in the last second.

    A chunk that was handed back waits for something else, and keeps no process from its work.
    """

    open_chunks: int
    recent_items: int


IDLE = Load(0, 0)
# For each worker process.
MAX_WAITING_CHUNKS = 2
MAX_SINGLE_ITEMS = 15  # a second


def max_load() -> Load:
    """Return the load up to which worker processes have their hands idle_processes."""
    processes = settings().worker_processes
    return Load(MAX_WAITING_CHUNKS * processes, MAX_SINGLE_ITEMS * processes)


def chunk_size(total: int, load: Load = IDLE) -> int:
    """Return how many items a chunk carries at most, for a batch of ``total``."""
    limits, limit = settings(), max_load()
    busy = load.open_chunks > limit.open_chunks or load.recent_items > limit.recent_items
    if total <= limits.small_batch and not busy:
        return 1
    # The processes that have nothing in hand share the batch; fewer chunks cost less.
    idle_processes = max(1, limits.worker_processes - load.open_chunks)
    return max(1, min(limits.chunk_items, max(-(-total // idle_processes), limits.small_batch)))


def divide(items: Sequence[Divisible], max_items: int) -> list[ChunkPlan]:
    """Cut ``items`` into chunks of ``max_items`` or fewer, and by bytes of inline content."""
    max_bytes = settings().chunk_bytes
    plans: list[ChunkPlan] = []
    first = size = invalid = 0
    for position, item in enumerate(items):
        item_size = item.inline_size
        if position > first and (position - first == max_items or size + item_size > max_bytes):
            plans.append(ChunkPlan(first, position - 1, invalid))
            first, size, invalid = position, 0, 0
        size += item_size
        invalid += item.verdict is not None
    if items:
        plans.append(ChunkPlan(first, len(items) - 1, invalid))
    return plans


def divide_evenly(total: int) -> list[ChunkPlan]:
    """Cut ``total`` items by count alone, for contents that need not pass through here."""
    size = chunk_size(total)
    return [ChunkPlan(first, min(first + size, total) - 1, 0) for first in range(0, total, size)]
