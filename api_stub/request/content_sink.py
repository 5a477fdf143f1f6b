"""Decode, measure and hash contents while they stream in: small ones stay here, large ones go to the store."""

import binascii
import hashlib
import time
from collections.abc import Callable
from typing import Protocol

from api_stub.request.base64_stream import Base64Decoder
from worker.blobs.lifecycle import StoredContent, intend
from worker.blobs.multipart import MultipartUpload
from worker.blobs.spool import Spool, Spooled
from worker.settings import settings

NOT_BASE64 = "must be base64 with padding (RFC 4648 section 4)"
_MAX_HEAD_BYTES = 300
_MAX_KEYS = 64


class Destination(Protocol):
    """An object that is being written; see ``worker.blobs.multipart.MultipartUpload``."""

    @property
    def key(self) -> str:
        """The key of the object."""

    def write(self, data: bytes, /) -> None:
        """Take the next bytes."""

    def finish(self) -> None:
        """Make the object whole."""

    def abort(self) -> None:
        """Leave no object."""


class ContentSink:
    """Takes the text of one base64 string (RFC 4648 §4; white space is left out) and keeps what it says.

    After ``close``, one of these is set: ``error`` with its ``status`` (what is
    wrong, as the sender reads it), ``spooled`` (up to ``inline`` bytes) or
    ``stored``. What comes after an error is swallowed. ``head`` is how the text
    begins, for the sender to find it.
    """

    __slots__ = (
        "_decoder",
        "_hash",
        "_inline",
        "_kept",
        "_open",
        "_spool",
        "_upload",
        "error",
        "head",
        "sha256",
        "size",
        "spooled",
        "status",
        "stored",
    )  # fmt: skip

    def __init__(self, open_upload: Callable[[], Destination], spool: Spool, inline: int) -> None:
        self._open = open_upload
        self._spool = spool
        self._inline = inline
        self._decoder = Base64Decoder()
        self._hash = hashlib.sha256()
        self._kept = bytearray()
        self._upload: Destination | None = None
        self.head = b""
        self.size = 0
        self.sha256 = b""
        self.spooled: Spooled | None = None
        self.stored: StoredContent | None = None
        self.error: str | None = None
        self.status = 422

    def write_plain(self, raw: memoryview) -> bool:
        """Take the next piece of the text if it is nothing but base64, which JSON spells as it is; else take nothing.

        Raises:
            StoreUnavailableError: the store refused or went away.

        """
        if self.error is not None:
            return False
        try:
            data = self._decoder.decode_strictly(raw)
        except binascii.Error:
            return False
        self.head += raw[: _MAX_HEAD_BYTES - len(self.head)]
        self._take(data)
        return True

    def write(self, text: bytes) -> None:
        """Take the next piece of the text.

        Raises:
            StoreUnavailableError: the store refused or went away.

        """
        self.head += text[: _MAX_HEAD_BYTES - len(self.head)]
        if self.error is not None:
            return
        try:
            data = self._decoder.decode(text)
        except binascii.Error:
            self._refuse(NOT_BASE64)
        else:
            self._take(data)

    def close(self) -> None:
        """Take the end of the text; wait until large content is in the store.

        Raises:
            StoreUnavailableError: it could not be stored.

        """
        if self.error is None and not self._decoder.is_complete:
            self._refuse(NOT_BASE64)
        if self.error is None:
            self._finish()
        self._kept = bytearray()

    def abort(self) -> None:
        """Give up; what is not in the store by now never will be."""
        if self._upload is not None:
            self._upload.abort()

    def _take(self, data: bytes) -> None:
        self.size += len(data)
        if self.size > settings().max_content:
            self._refuse(f"must not be longer than {settings().max_content} bytes decoded", 413)
            return
        self._hash.update(data)
        if self._upload is None and self.size > self._inline:
            self._upload = self._open()
            self._upload.write(bytes(self._kept))
            self._kept = bytearray()
        if self._upload is None:
            self._kept += data
        else:
            self._upload.write(data)

    def _finish(self) -> None:
        self.sha256 = self._hash.digest()
        if self._upload is None:
            self.spooled = self._spool.add(bytes(self._kept), self.sha256)
            return
        self._upload.finish()
        self.stored = StoredContent(self._upload.key, self.sha256, self.size)

    def _refuse(self, error: str, status: int = 422) -> None:
        self.error, self.status = error, status
        self._kept = bytearray()
        self.abort()


class Sinks:
    """The sinks of one request: they share a spool, and one is open at a time."""

    def __init__(self, database: str) -> None:
        self._database = database
        self._spool = Spool()
        self._latest: ContentSink | None = None
        self._keys: list[str] = []
        self._key_count = 1
        self._keys_valid_until = 0.0

    def open(self) -> ContentSink:
        """Return the sink for the next content; the one before is closed."""
        self._latest = ContentSink(self._upload, self._spool, settings().inline_content)
        return self._latest

    def abort(self) -> None:
        """Give up the content that is on its way."""
        if self._latest is not None:
            self._latest.abort()

    def close(self) -> None:
        """Give up all contents of a request that failed: free their disk space."""
        self._spool.close()

    def _upload(self) -> MultipartUpload:
        # A key that is due before its object is whole would leave that object behind.
        if not self._keys or time.monotonic() > self._keys_valid_until:
            self._keys_valid_until = time.monotonic() + settings().collect_after.total_seconds() / 2
            # More at once the more were needed, since each time is a transaction. What is left over is removed as
            # garbage, though there is no such object.
            self._keys = intend(self._database, self._key_count)
            self._key_count = min(2 * self._key_count, _MAX_KEYS)
        return MultipartUpload(self._keys.pop())
