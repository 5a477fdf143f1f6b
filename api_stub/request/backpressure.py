"""Back-pressure: new work is refused while it can be refused whole, before anything of it is stored.

What has been taken in is carried out whatever comes; so a request that finds the ledger full, or no room for its
contents on the disk, gets 503 with Retry-After at once, and what eases the load (reading, cancelling) is never refused.
"""

import shutil
import tempfile
import time
from dataclasses import dataclass, replace

from anyio import CapacityLimiter
from anyio.to_thread import run_sync

from api_stub.problems import FULL, ProblemError
from worker.database import transaction
from worker.ledger.read.metrics import count_open_items
from worker.settings import settings

_RETRY_LATER = {"Retry-After": "10"}
_MIN_VALID_SECONDS = 1.0  # seconds that a look is good for
_VALID_PER_COST = 20  # a look may take this part of the time: adding up a long ledger must not be what keeps it long


@dataclass(frozen=True, slots=True)
class _Count:
    open_items: int
    good_until: float


_counts: dict[str, _Count] = {}


async def admit(database: str) -> None:
    """Return if new work may be appended to the ledger of ``database``.

    Raises:
        ProblemError: 503, as many items are open as may be.
        DBAPIError: the database is away.

    """
    if await is_full(database):
        detail = "As many items are open in this database as may be. Try again after Retry-After"
        raise ProblemError(FULL, detail, _RETRY_LATER)


async def is_full(database: str, threads: CapacityLimiter | None = None) -> bool:
    """Return whether as many items are open in ``database`` as may be; looked at in one of ``threads``.

    The bound is soft: what others append while a look is good, about a second, is not seen.

    Raises:
        DBAPIError: the database is away.

    """
    count = _counts.get(database)
    if count is None or time.monotonic() >= count.good_until:
        if count is not None:
            # Whoever comes meanwhile goes by the old look, so one request asks for all.
            _counts[database] = replace(count, good_until=time.monotonic() + _MIN_VALID_SECONDS)
        _counts[database] = count = await run_sync(_count_items, database, abandon_on_cancel=True, limiter=threads)
    return count.open_items >= settings().most_open_items


def _count_items(database: str) -> _Count:
    started = time.monotonic()
    with transaction(database) as session:
        items = count_open_items(session)
    now = time.monotonic()
    return _Count(items, now + max(_MIN_VALID_SECONDS, _VALID_PER_COST * (now - started)))


def spool_has_room() -> bool:
    """Return whether the disk on which the contents of large bodies wait has the room that it must have."""
    return shutil.disk_usage(tempfile.gettempdir()).free >= settings().spool_free


def admit_large() -> None:
    """Return if a large body may be read.

    Raises:
        ProblemError: 503, the disk is nearly full.

    """
    if not spool_has_room():
        raise ProblemError(
            FULL, "The disk for large bodies is nearly full. Try again later, or send less", _RETRY_LATER
        )
