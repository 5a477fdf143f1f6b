"""Small contents of a large request wait on disk until they are accepted."""

import hashlib
import os
import tempfile
from dataclasses import dataclass
from weakref import finalize

from worker.errors import SpoolFullError


class Spool:
    """A temporary file for the small contents of one large request, so that they don't add up in memory."""

    def __init__(self) -> None:
        try:
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  close and finalize close it
        except OSError as error:
            raise SpoolFullError(f"no temporary file: {error.strerror or error}") from error
        # Not __del__: in a cycle of objects the file may be finalized first, and its ResourceWarning is logged.
        self.close = finalize(self, self._file.close)
        self._end = 0

    def add(self, data: bytes, sha256: bytes) -> "Spooled":
        """Append ``data``, whole, and return where it lies.

        Raises:
            SpoolFullError: the disk has no room; what was added before stays readable.

        """
        rest, offset = memoryview(data), self._end
        while rest:
            try:
                written = os.pwrite(self._file.fileno(), rest, offset)  # may be short on a disk that fills
            except OSError as error:
                raise SpoolFullError(f"{os.strerror(error.errno or 0)}, in {tempfile.gettempdir()}") from error
            rest, offset = rest[written:], offset + written
        spooled = Spooled(self, self._end, len(data), sha256)
        self._end = offset
        return spooled

    def read(self, offset: int, size: int) -> bytes:
        """Return up to ``size`` bytes from ``offset`` on."""
        return os.pread(self._file.fileno(), size, offset)


@dataclass(frozen=True, slots=True)
class Spooled:
    """One content in a spool, with the hash of what was put there."""

    spool: Spool
    offset: int
    size: int
    sha256: bytes

    def read(self) -> bytes:
        """Return its bytes, compared in length and hash with what was put there."""
        data = self.spool.read(self.offset, self.size)
        if len(data) != self.size or hashlib.sha256(data).digest() != self.sha256:
            raise RuntimeError(f"the spool returned {len(data)} bytes that are not the {self.size} put there")
        return data
