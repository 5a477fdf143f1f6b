"""The manifest on the client's side: a path or standard input, known by its hash."""

import hashlib
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedRandom, BufferedReader
from pathlib import Path
from typing import BinaryIO

from schemas.manifest import Header, Row, read_header, rows, uncompressed


@dataclass(frozen=True)
class Source:
    """An open manifest. ``stream`` is its file as it lies there, ``text`` the same decompressed."""

    stream: BinaryIO
    text: BinaryIO
    header: Header
    sha256: str
    size: int

    def rows(self) -> Iterator[Row]:
        """Yield all rows, from the first."""
        return rows(self.text, self.header)

    @property
    def read(self) -> int:
        """How many bytes of the file have been read, of ``size``."""
        return min(self.size, self.stream.tell())


@contextmanager
def opened(manifest: str, mapping: Mapping[str, str]) -> Iterator[Source]:
    """Yield the manifest at a path, or of standard input (``-``), which is kept in a nameless file meanwhile.

    Raises:
        ManifestError: it is no manifest.
        OSError: it can't be read.

    """
    with _file(manifest) as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        size = stream.tell()
        stream.seek(0)
        text = uncompressed(stream)
        yield Source(stream, text, read_header(text, mapping), digest, size)


@contextmanager
def _file(manifest: str) -> Iterator[BufferedReader | BufferedRandom]:
    if manifest != "-":
        with Path(manifest).open("rb") as stream:
            yield stream
        return
    with tempfile.TemporaryFile() as stream:
        shutil.copyfileobj(sys.stdin.buffer, stream)
        stream.seek(0)
        yield stream
