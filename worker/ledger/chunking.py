"""The cut: how many items of a batch one Celery task carries.

While the workers have hands free, each item of a small batch is a task of its
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
MAX_WAITING_CHUNKS, MAX_SINGLE_ITEMS = (
    2,
    15,
)  # for each worker process: chunks that are open, and items a second, one by one


def max_load() -> Load:
    """Return the load up to which worker processes have their hands free."""
    processes = settings().worker_processes
    return Load(MAX_WAITING_CHUNKS * processes, MAX_SINGLE_ITEMS * processes)


def chunk_size(total: int, load: Load = IDLE) -> int:
    """Return how many items a chunk carries at most, for a batch of ``total``."""
    limits, most = settings(), max_load()
    busy = load.open_chunks > most.open_chunks or load.recent_items > most.recent_items
    if total <= limits.small_batch and not busy:
        return 1
    # The processes that have nothing in hand share the batch; fewer chunks cost less.
    free = max(1, limits.worker_processes - load.open_chunks)
    return max(1, min(limits.chunk_items, max(-(-total // free), limits.small_batch)))


def divide(items: Sequence[Divisible], most: int) -> list[ChunkPlan]:
    """Cut ``items`` into chunks of ``most`` or fewer, and by bytes of inline content."""
    most_bytes = settings().chunk_bytes
    cuts: list[ChunkPlan] = []
    first = size = invalid = 0
    for position, item in enumerate(items):
        weight = item.inline_size
        if position > first and (position - first == most or size + weight > most_bytes):
            cuts.append(ChunkPlan(first, position - 1, invalid))
            first, size, invalid = position, 0, 0
        size += weight
        invalid += item.verdict is not None
    if items:
        cuts.append(ChunkPlan(first, len(items) - 1, invalid))
    return cuts


def divide_evenly(total: int) -> list[ChunkPlan]:
    """Cut ``total`` items by count alone, for contents that need not pass through here."""
    size = chunk_size(total)
    return [ChunkPlan(first, min(first + size, total) - 1, 0) for first in range(0, total, size)]
