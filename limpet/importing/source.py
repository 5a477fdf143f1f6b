"""Open a manifest, a path or standard input, and hash it."""

import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedRandom, BufferedReader
from pathlib import Path
from typing import BinaryIO

from schemas.manifest.reader import Header, ManifestError, Row, read_header, rows, uncompressed

_FileState = tuple[int, int]


@dataclass(frozen=True)
class Source:
    """An open manifest. ``stream`` is its file, ``text`` the decompressed stream."""

    stream: BinaryIO
    text: BinaryIO
    header: Header
    sha256: str
    state: _FileState

    def rows(self) -> Iterator[Row]:
        """Yield all rows, from the first.

        Raises:
            ManifestError: the manifest can't be read, or changed since it was hashed.

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
        """The size of the file in bytes."""
        return self.state[0]

    @property
    def bytes_read(self) -> int:
        """The bytes of the file that were read, of ``size``."""
        return min(self.size, self.stream.tell())


@contextmanager
def open_source(manifest: str, mapping: Mapping[str, str], clearable: Sequence[str] = ()) -> Iterator[Source]:
    """Open the manifest at a path, or a copy of standard input (``-``) in an unnamed temporary file.

    Raises:
        ManifestError: the file is no manifest.
        OSError: the file can't be read.

    """
    with _open_file(manifest) as stream:
        state = _state(stream)
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        stream.seek(0)
        text = uncompressed(stream)
        yield Source(stream, text, read_header(text, mapping, clearable), digest, state)


def _state(stream: BinaryIO) -> _FileState:
    """Return the size and the modification time of a file; a write changes one of them."""
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
