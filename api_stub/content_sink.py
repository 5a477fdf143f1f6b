"""Decode, measure and hash contents while they stream in: small ones stay here, large ones go to the store."""

import binascii
import hashlib
import time
from collections.abc import Callable
from typing import Protocol

from worker.blobs import intend
from worker.settings import settings
from worker.stored import Spool, Spooled, Stored
from worker.uploading import Upload

NOT_BASE64 = "must be base64 with padding (RFC 4648 section 4)"
_SPACE = b" \t\r\n"
_HEAD = 300
_MOST_KEYS = 64


class Destination(Protocol):
    """An object that is being written; see ``worker.uploading.Upload``."""

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
    begins, for whoever mends it.
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
        self._decoder = _Base64()
        self._hash = hashlib.sha256()
        self._kept = bytearray()
        self._upload: Destination | None = None
        self.head = b""
        self.size = 0
        self.sha256 = b""
        self.spooled: Spooled | None = None
        self.stored: Stored | None = None
        self.error: str | None = None
        self.status = 422

    def write(self, text: bytes) -> None:
        """Take the next piece of the text.

        Raises:
            StoreUnavailableError: the store refused or went away.

        """
        self.head += text[: _HEAD - len(self.head)]
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
        if self.error is None and not self._decoder.complete:
            self._refuse(NOT_BASE64)
        if self.error is None:
            self._settle()
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

    def _settle(self) -> None:
        self.sha256 = self._hash.digest()
        if self._upload is None:
            self.spooled = self._spool.add(bytes(self._kept))
            return
        self._upload.finish()
        self.stored = Stored(self._upload.key, self.sha256, self.size)

    def _refuse(self, error: str, status: int = 422) -> None:
        self.error, self.status = error, status
        self._kept = bytearray()
        self.abort()


def decode(text: bytes) -> bytes:
    """Decode base64 (RFC 4648 §4) that is there as a whole; white space, which MIME encoders put in, is left out.

    Raises:
        binascii.Error: the text is no base64.

    """
    decoder = _Base64()
    data = decoder.decode(text)
    if not decoder.complete:
        raise binascii.Error("the end is missing")
    return data


class _Base64:
    """Decodes base64 piece by piece, to the letter of RFC 4648 §4 but for white space."""

    __slots__ = ("_padded", "_rest")

    def __init__(self) -> None:
        self._rest = b""
        self._padded = False

    def decode(self, text: bytes) -> bytes:
        """Return what has become whole by ``text``.

        Raises:
            binascii.Error: the text is no base64.

        """
        if any(space in text for space in _SPACE):  # ten times as fast as leaving out what is not there
            text = text.translate(None, _SPACE)
        text = self._rest + text
        if text and self._padded:
            raise binascii.Error("text after the padding")
        whole = len(text) - len(text) % 4
        self._rest = text[whole:]
        padding = text.count(b"=", max(whole - 2, 0), whole)
        self._padded = padding > 0
        data = binascii.a2b_base64(text[:whole], strict_mode=True)
        if len(data) != whole // 4 * 3 - padding:  # Python takes "QUJD====", even when strict
            raise binascii.Error("padding after whole groups")
        return data

    @property
    def complete(self) -> bool:
        """Whether the text may end here."""
        return not self._rest


class Sinks:
    """The sinks of one request: they share a spool, and one is open at a time."""

    def __init__(self, database: str) -> None:
        self._database = database
        self._spool = Spool()
        self._latest: ContentSink | None = None
        self._keys: list[str] = []
        self._key_count = 1
        self._good_until = 0.0

    def open(self) -> ContentSink:
        """Return the sink for the next content; the one before is closed."""
        self._latest = ContentSink(self._upload, self._spool, settings().inline_content)
        return self._latest

    def abort(self) -> None:
        """Give up the content that is on its way."""
        if self._latest is not None:
            self._latest.abort()

    def _upload(self) -> Upload:
        # A key that is due before its object is whole would leave that object behind.
        if not self._keys or time.monotonic() > self._good_until:
            self._good_until = time.monotonic() + settings().collect_after.total_seconds() / 2
            # More at once the more were needed, since each time is a transaction. What is left over is removed as
            # garbage, though there is no such object.
            self._keys = intend(self._database, self._key_count)
            self._key_count = min(2 * self._key_count, _MOST_KEYS)
        return Upload(self._keys.pop())
