"""Small contents of a large request wait on disk until they are accepted."""

import os
import tempfile
from dataclasses import dataclass
from weakref import finalize


class Spool:
    """A temporary file for the small contents of one large request, so that they don't add up in memory."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  finalize closes it
        # Not __del__: in a cycle of objects the file may be finalized first, and its ResourceWarning is logged.
        finalize(self, self._file.close)
        self._end = 0

    def add(self, data: bytes) -> "Spooled":
        """Append ``data`` and return where it lies."""
        spooled = Spooled(self, self._end, len(data))
        self._file.write(data)
        self._end += len(data)
        return spooled

    def read(self, offset: int, size: int) -> bytes:
        """Return ``size`` bytes from ``offset`` on."""
        return os.pread(self._file.fileno(), size, offset)


@dataclass(frozen=True, slots=True)
class Spooled:
    """One content in a spool."""

    spool: Spool
    offset: int
    size: int

    def read(self) -> bytes:
        """Return its bytes."""
        return self.spool.read(self.offset, self.size)
