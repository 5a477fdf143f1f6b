"""Write contents to the object store, several at once, each that no blob holds yet."""

import hashlib
import io
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from worker.blobs import s3
from worker.blobs.lifecycle import Stored, adopt, find_blob, intend
from worker.database import transaction
from worker.ledger.arrows import Place

_WRITERS = 8
_PULSE = 2.0  # seconds


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes on their way to the store."""

    data: bytes
    sha256: bytes

    @classmethod
    def of(cls, data: bytes) -> "Content":
        """Return ``data`` with its hash."""
        return cls(data, hashlib.sha256(data).digest())


def write(database: str, contents: Sequence[Content], pulse: Callable[[], None]) -> list[Stored]:
    """Store contents that no blob of ``database`` holds yet; what is held already is left out.

    ``pulse`` is called every few seconds meanwhile, for whoever must show that it is alive.

    Raises:
        StoreUnavailableError: at least one could not be stored; nothing names the others.

    """
    distinct = {(c.sha256, len(c.data)): c for c in contents}
    with transaction(database) as session:
        missing = [c for (sha256, size), c in distinct.items() if find_blob(session, sha256, size) is None]
    if not missing:
        return []
    stored = [
        Stored(key, c.sha256, len(c.data)) for key, c in zip(intend(database, len(missing)), missing, strict=True)
    ]
    _put_all(zip(stored, missing, strict=True), pulse)
    return stored


def assign(session: Session, contents: Sequence[tuple[Place, Content]], stored: Sequence[Stored]) -> None:
    """Let open items name their blobs instead of carrying bytes: adopt what was stored, find the rest.

    ``contents`` come oldest item first. An item whose blob is gone again (the collector was faster) keeps its bytes,
    so it is stored once more.
    """
    fresh = {(s.sha256, s.size): s for s in stored}
    named: dict[tuple[bytes, int], int | None] = {}
    # One order for all, because adopting locks.
    for content in sorted((content for _, content in contents), key=lambda c: c.sha256):
        which = (content.sha256, len(content.data))
        if which not in named:
            ours = fresh.get(which)
            named[which] = adopt(session, ours) if ours else find_blob(session, *which)
    # Then the items, in the order in which they came: that in which every bite locks them.
    for place, content in contents:
        blob_id = named[content.sha256, len(content.data)]
        if blob_id is not None:
            session.execute(_ASSIGN, {"blob_id": blob_id, **place._asdict()})


_ASSIGN = text("""
    UPDATE item SET blob_id = :blob_id, content = NULL
    WHERE batch_id = :batch_id AND position = :position AND outcome IS NULL
""")


def _put_all(pairs: Iterable[tuple[Stored, Content]], pulse: Callable[[], None]) -> None:
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
