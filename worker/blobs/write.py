"""Write contents to the object store, several at once, except those that a blob holds already."""

import hashlib
import io
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass

from worker.blobs import s3
from worker.blobs.lifecycle import ContentAddress, StoredContent, find_blobs, intend
from worker.database import transaction

_MAX_WRITERS = 8
_RENEW_SECONDS = 2.0


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


def write_contents(
    database: str, contents: Sequence[PendingContent], renew_lease: Callable[[], None]
) -> list[StoredContent]:
    """Store those contents that no blob of ``database`` holds, and return them; call ``renew_lease`` meanwhile.

    Raises:
        StoreUnavailableError: at least one could not be stored; the collector removes the others.

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
    _put_all(zip(stored, missing, strict=True), renew_lease)
    return stored


def _put_all(pairs: Iterable[tuple[StoredContent, PendingContent]], renew_lease: Callable[[], None]) -> None:
    pool = ThreadPoolExecutor(_MAX_WRITERS)
    pending = {
        pool.submit(s3.put, stored.object_key, io.BytesIO(content.data), stored.size) for stored, content in pairs
    }
    try:
        while pending:
            done, pending = wait(pending, timeout=_RENEW_SECONDS, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
            renew_lease()
    finally:
        # Writes that have not begun are cancelled; those that have are waited for, under the lease.
        pool.shutdown(wait=False, cancel_futures=True)
        # wait() never counts a future as done that was cancelled before it began.
        begun = [future for future in pending if not future.cancelled()]
        while wait(begun, timeout=_RENEW_SECONDS).not_done:
            renew_lease()
