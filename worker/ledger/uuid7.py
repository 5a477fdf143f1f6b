"""Batch ids that sort by time: UUID version 7."""

import os
import time
from uuid import UUID


def new_batch_id() -> UUID:
    """Return a UUID version 7 (RFC 9562 §5.7): time first, so that indexes grow at their end."""
    random = int.from_bytes(os.urandom(10)) & (1 << 74) - 1
    high, low = random >> 62, random & (1 << 62) - 1
    return UUID(int=first_id(time.time()).int | 0x7 << 76 | high << 64 | 0b10 << 62 | low)


def first_id(seconds: float) -> UUID:
    """Return the smallest id of that time (seconds since the epoch); all earlier batch ids are smaller."""
    return UUID(int=int(1000 * seconds) << 80)
