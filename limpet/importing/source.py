"""The manifest on the client's side: a path or standard input, known by its hash."""

import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedRandom, BufferedReader
from pathlib import Path
from typing import BinaryIO

from schemas.manifest.reader import Header, ManifestError, Row, read_header, rows, uncompressed

_FileState = tuple[int, int]


@dataclass(frozen=True)
class Source:
    """An open manifest. ``stream`` is its file as it lies there, ``text`` the same decompressed."""

    stream: BinaryIO
    text: BinaryIO
    header: Header
    sha256: str
    state: _FileState

    def rows(self) -> Iterator[Row]:
        """Yield all rows, from the first.

        Raises:
            ManifestError: the manifest can't be read on, or is not what was hashed.

        """
        try:
            for row in rows(self.text, self.header):
                self._check_unchanged()
                yield row
            self._check_unchanged()
        except OSError as fault:
            raise ManifestError(f"can't be read on: {fault}") from fault

    def _check_unchanged(self) -> None:
        if _state(self.stream) != self.state:
            raise ManifestError("changed while it was read; import it again when it is at rest")

    @property
    def size(self) -> int:
        """How many bytes the file has."""
        return self.state[0]

    @property
    def bytes_read(self) -> int:
        """How many bytes of the file have been read, of ``size``."""
        return min(self.size, self.stream.tell())


@contextmanager
def open_source(manifest: str, mapping: Mapping[str, str]) -> Iterator[Source]:
    """Yield the manifest at a path, or of standard input (``-``), which is kept in a nameless file meanwhile.

    Raises:
        ManifestError: it is no manifest.
        OSError: it can't be read.

    """
    with _open_file(manifest) as stream:
        state = _state(stream)
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        stream.seek(0)
        text = uncompressed(stream)
        yield Source(stream, text, read_header(text, mapping), digest, state)


def _state(stream: BinaryIO) -> _FileState:
    """Return what differs once a file was written to: its size, and when it was."""
    found = os.fstat(stream.fileno())
    return found.st_size, found.st_mtime_ns


@contextmanager
def _open_file(manifest: str) -> Iterator[BufferedReader | BufferedRandom]:
    if manifest != "-":
        with Path(manifest).open("rb") as stream:
            yield stream
        return
    with tempfile.TemporaryFile() as stream:
        shutil.copyfileobj(sys.stdin.buffer, stream)
        stream.seek(0)
        yield stream
