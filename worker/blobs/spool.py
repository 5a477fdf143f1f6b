"""Content on its way to a record: in the object store already, or waiting on disk."""

import os
import tempfile
from dataclasses import dataclass
from weakref import finalize


class Spool:
    """A nameless file for the small contents of one large request, so that they don't add up in memory."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  lives as long as what it holds
        # Not __del__: of objects that refer to one another in a circle, the file might go first and complain.
        finalize(self, self._file.close)
        self._end = 0

    def add(self, data: bytes) -> "Spooled":
        """Append ``data`` and return where it is."""
        place = Spooled(self, self._end, len(data))
        self._file.write(data)
        self._end += len(data)
        return place

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
