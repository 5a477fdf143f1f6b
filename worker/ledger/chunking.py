"""Chunking: how many items of a batch one Celery task carries.

While worker processes are idle, each item of a small batch is a task of its own, visible in Flower. When they are busy,
or the batch is larger, chunks grow: end to end, chunks of 100 are some 50 times faster than chunks of one.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from worker.settings import settings
from worker.verdicts import Verdict


class Divisible(Protocol):
    """The facts of an item that chunking needs."""

    @property
    def inline_size(self) -> int:
        """The bytes of content inside the ledger."""

    @property
    def verdict(self) -> Verdict | None:
        """Set if the item is invalid."""


class ChunkPlan(NamedTuple):
    """The positions of one chunk, both inclusive, and how many of its items are invalid."""

    first: int
    last: int
    invalid: int

    @property
    def is_done(self) -> bool:
        """Whether all of its items are invalid, so that none is left to carry out."""
        return self.invalid == self.last - self.first + 1


class Load(NamedTuple):
    """The work at hand: chunks that are new or taken, and items of small batches in the last second.

    A chunk that a worker released is not counted: it waits for something else and keeps no process busy.
    """

    open_chunks: int
    recent_items: int


IDLE = Load(0, 0)
# Above these, for each worker process, the processes count as busy.
MAX_WAITING_CHUNKS = 2
MAX_SINGLE_ITEMS = 15  # of small batches, in the last second


def max_load() -> Load:
    """Return the load up to which the worker processes count as idle."""
    processes = settings().worker_processes
    return Load(MAX_WAITING_CHUNKS * processes, MAX_SINGLE_ITEMS * processes)


def chunk_size(total: int, load: Load = IDLE) -> int:
    """Return the maximum number of items in a chunk, for a batch of ``total``."""
    limits, limit = settings(), max_load()
    busy = load.open_chunks > limit.open_chunks or load.recent_items > limit.recent_items
    if total <= limits.small_batch and not busy:
        return 1
    # The idle processes share the batch; fewer chunks cost less.
    idle_processes = max(1, limits.worker_processes - load.open_chunks)
    return max(1, min(limits.chunk_items, max(-(-total // idle_processes), limits.small_batch)))


def divide(items: Sequence[Divisible], max_items: int) -> list[ChunkPlan]:
    """Divide ``items`` into chunks of at most ``max_items`` and ``LIMPET_CHUNK_BYTES`` of inline content."""
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
    """Divide ``total`` items by count alone: their contents are in the database already."""
    size = chunk_size(total)
    return [ChunkPlan(first, min(first + size, total) - 1, 0) for first in range(0, total, size)]
