"""Write contents to the object store, several at once, each that no blob holds yet."""

import hashlib
import io
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass

from worker.blobs import s3
from worker.blobs.lifecycle import ContentAddress, StoredContent, find_blobs, intend
from worker.database import transaction

_WRITERS = 8
_PULSE = 2.0  # seconds


@dataclass(frozen=True, slots=True)
class PendingContent:
    """Bytes on their way to the store."""

    data: bytes
    sha256: bytes

    @classmethod
    def of(cls, data: bytes) -> "PendingContent":
        """Return ``data`` with its hash."""
        return cls(data, hashlib.sha256(data).digest())

    @property
    def address(self) -> ContentAddress:
        """What its blob is found by."""
        return self.sha256, len(self.data)


def write_contents(database: str, contents: Sequence[PendingContent], pulse: Callable[[], None]) -> list[StoredContent]:
    """Store contents that no blob of ``database`` holds yet; what is held already is left out.

    ``pulse`` is called every few seconds meanwhile, for whoever must show that it is alive.

    Raises:
        StoreUnavailableError: at least one could not be stored; nothing names the others.

    """
    distinct = {content.address: content for content in contents}
    with transaction(database) as session:
        known = find_blobs(session, distinct)
    missing = [content for address, content in distinct.items() if address not in known]
    if not missing:
        return []
    stored = [
        StoredContent(key, *content.address)
        for key, content in zip(intend(database, len(missing)), missing, strict=True)
    ]
    _put_all(zip(stored, missing, strict=True), pulse)
    return stored


def _put_all(pairs: Iterable[tuple[StoredContent, PendingContent]], pulse: Callable[[], None]) -> None:
    pool = ThreadPoolExecutor(_WRITERS)
    pending = {pool.submit(s3.put, s.object_key, io.BytesIO(c.data), s.size) for s, c in pairs}
    try:
        while pending:
            done, pending = wait(pending, timeout=_PULSE, return_when=FIRST_EXCEPTION)
            for one in done:
                one.result()
            pulse()
    finally:
        # What has not begun never will; what has is waited for, alive all the while.
        pool.shutdown(wait=False, cancel_futures=True)
        # To wait() what was cancelled before it began is never done.
        begun = [one for one in pending if not one.cancelled()]
        while wait(begun, timeout=_PULSE).not_done:
            pulse()
