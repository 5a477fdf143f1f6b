"""Write one object to the store while its content is still arriving."""

import io
from queue import Queue
from threading import Thread
from typing import BinaryIO, Literal, cast

from worker import store

# Memory of one upload: some 4 MiB wait here, and the store's client holds up to four parts of 5 MiB (one being read,
# copied once, and those on their way).
_PIECE = 2**18
_WAITING = 16

_Piece = bytes | Literal["end", "abort"]


class AbortedError(Exception):
    """The writer gave up: what was written so far must not become an object."""


class Upload:
    """One object on its way to the store; for one writer at a time. It ends with ``finish`` or ``abort``."""

    def __init__(self, key: str) -> None:
        self.key = key
        self._pieces: Queue[_Piece] = Queue(_WAITING)
        self._over = False
        self._fault: BaseException | None = None
        # A daemon, so that a forgotten upload can't keep the process from ending: its object never becomes whole.
        self._thread = Thread(target=self._run, name=f"upload {key}", daemon=True)
        self._thread.start()

    def write(self, data: bytes) -> None:
        """Take the next bytes; wait while the store is slower.

        Raises:
            StoreUnavailableError: the store refused or went away.

        """
        for start in range(0, len(data), _PIECE):
            if self._over:
                break
            self._pieces.put(data[start : start + _PIECE])
        self._check()

    def finish(self) -> None:
        """Wait until the object is there, whole.

        Raises:
            StoreUnavailableError: it is not.

        """
        self._end("end")
        self._check()

    def abort(self) -> None:
        """Give up, and wait until nothing is under way; after the end it does nothing."""
        self._end("abort")

    def _end(self, how: Literal["end", "abort"]) -> None:
        if not self._over:
            self._pieces.put(how)
        self._thread.join()

    def _check(self) -> None:
        if self._fault is not None:
            raise self._fault

    def _run(self) -> None:
        try:
            store.put(self.key, cast("BinaryIO", _Reader(self._pieces)), -1)
        except AbortedError:
            pass
        except BaseException as fault:  # noqa: BLE001  carried over to the writer, who raises it
            self._fault = fault
        # From here on the writer puts one piece at most, and there is room for it: it never waits for a dead reader.
        self._over = True
        while not self._pieces.empty():
            self._pieces.get()


class _Reader:
    """The pieces as a file that can only be read."""

    def __init__(self, pieces: Queue[_Piece]) -> None:
        self._pieces = pieces
        self._left = memoryview(b"")
        self._ended = False

    def read(self, size: int) -> bytes:
        """Return exactly ``size`` bytes, fewer at the end only: the store's client would copy them together.

        Raises:
            AbortedError: the writer gave up.

        """
        part = io.BytesIO()
        while (wanted := size - part.tell()) and (self._left or self._next()):
            part.write(self._left[:wanted])
            self._left = self._left[wanted:]
        return part.getvalue()

    def _next(self) -> bool:
        piece = "end" if self._ended else self._pieces.get()
        if piece == "abort":
            raise AbortedError
        self._ended = piece == "end"
        if isinstance(piece, bytes):
            self._left = memoryview(piece)
        return not self._ended
