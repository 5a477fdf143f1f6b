"""Where workers read an import from: objects below ``<database>/imports/``, or a folder that the operator allowed."""

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Protocol, cast

from schemas.imports import OpenImport
from schemas.manifest.local_files import CHANGED, MAX_FILE_BYTES, TOO_LARGE, InvalidFileError, below, digest
from worker.blobs import s3
from worker.blobs.lifecycle import StoredContent
from worker.errors import BlobMissingError, LimpetError
from worker.settings import settings

_PIECE_BYTES = 2**20
_MAX_KEY_BYTES = 1024  # of UTF-8, the limit of S3


class InvalidSourceError(LimpetError):
    """A manifest or a folder of files does not exist or is not allowed; the text says which."""


class ObjectReader(io.RawIOBase):
    """An object of the store as a seekable file."""

    def __init__(self, key: str, size: int) -> None:
        self._key = key
        self._size = size
        self._at = 0
        self._pieces: Iterator[bytes] = iter(())
        self._left = b""

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """Return the offset of the next byte to read."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to ``offset``; the next read opens the object there."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if base + offset != self._at:
            self._at, self._left, self._pieces = base + offset, b"", iter(())
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        """Read the next bytes.

        Raises:
            StoreUnavailableError, BlobMissingError: the store did not return them.

        """
        target = memoryview(buffer)
        if not self._left and self._at < self._size:
            self._left = next(self._pieces, b"")
            if not self._left:
                self._pieces = s3.read(self._key, self._at, self._size - self._at, _PIECE_BYTES)
                self._left = next(self._pieces, b"")
        count = min(len(target), len(self._left))
        target[:count] = self._left[:count]
        self._left = self._left[count:]
        self._at += count
        return count


@dataclass(frozen=True, slots=True)
class Manifest:
    """One version of a manifest in the store."""

    key: str
    size: int
    etag: str

    def open(self) -> BinaryIO:
        """Return it as a seekable file."""
        return cast("BinaryIO", io.BufferedReader(ObjectReader(self.key, self.size), _PIECE_BYTES))


def find_manifest(key: str) -> Manifest:
    """Return the manifest under an object key.

    Raises:
        InvalidSourceError: there is no such object.

    """
    try:
        size, etag = s3.version_of(key)
    except BlobMissingError as missing:
        raise InvalidSourceError(f"there is no object {key}") from missing
    return Manifest(key, size, etag)


def object_key(database: str, name: str) -> str:
    """Return the key of the object that a request names: ``imports/...``, of its database.

    Raises:
        InvalidSourceError: ``name`` is not below ``imports/``.

    """
    parts = PurePosixPath(name).parts
    if not parts or parts[0] != "imports" or ".." in parts or "\0" in name:
        raise InvalidSourceError(f"{name!r} must be the name of an object below imports/")
    return f"{database}/{'/'.join(parts)}"


class Tree(Protocol):
    """Files that rows name by a path. Both methods raise InvalidFileError if a file can't be read."""

    def inspect(self, path: str) -> StoredContent:
        """Hash a file and return its content; ``object_key`` is empty."""

    def store(self, path: str, inspected: StoredContent, key: str) -> StoredContent:
        """Store the file under ``key``, unless it changed since `inspect`."""


class HashingReader:
    """Hashes a file while the store reads it; only these bytes prove what was stored."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.sha256 = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        piece = self._stream.read(size)
        self.sha256.update(piece)
        return piece


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder on this host that the operator allowed."""

    root: Path

    def inspect(self, path: str) -> StoredContent:
        """Hash a file and return its content."""
        content = digest(below(self.root, path))
        return StoredContent("", bytes.fromhex(content.sha256), content.size)

    def store(self, path: str, inspected: StoredContent, key: str) -> StoredContent:
        """Store the file, unless it changed."""
        file = below(self.root, path)
        with file.open("rb") as stream:
            sent = HashingReader(stream)
            s3.put(key, cast("BinaryIO", sent), inspected.size)
        if sent.sha256.digest() != inspected.sha256:
            raise InvalidFileError(CHANGED)
        return StoredContent(key, inspected.sha256, inspected.size)


@dataclass(frozen=True, slots=True)
class Prefix:
    """Objects below a prefix of the bucket."""

    prefix: str

    def inspect(self, path: str) -> StoredContent:
        """Hash an object and return its content."""
        key = self._key(path)
        try:
            size, _ = s3.version_of(key)
            if size > MAX_FILE_BYTES:
                raise InvalidFileError(TOO_LARGE)
            return StoredContent("", s3.sha256_of(key, size), size)
        except BlobMissingError as missing:
            raise InvalidFileError("there is no such object below the prefix of the files") from missing

    def store(self, path: str, inspected: StoredContent, key: str) -> StoredContent:
        """Copy the object within the store, and hash the copy: it must not have changed since `inspect`."""
        s3.copy(self._key(path), key, inspected.size)
        size, _ = s3.version_of(key)
        if (s3.sha256_of(key, size), size) != (inspected.sha256, inspected.size):
            raise InvalidFileError(CHANGED)
        return StoredContent(key, inspected.sha256, inspected.size)

    def _key(self, path: str) -> str:
        parts = PurePosixPath(path.replace("\\", "/")).parts
        if ".." in parts or path.startswith("/") or "\0" in path:
            raise InvalidFileError("leads out of the prefix of the files")
        key = f"{self.prefix}/{'/'.join(parts)}"
        # The store refuses such a key with an error that looks transient.
        length = len(key.encode(errors="replace"))
        if not parts or length > _MAX_KEY_BYTES or any("\ud800" <= c <= "\udfff" for c in key):
            raise InvalidFileError("is no text that an object can be named by")
        return key


def tree_of(database: str, wanted: OpenImport) -> Tree | None:
    """Return the files of an import, None if it has no files.

    Raises:
        InvalidSourceError: the folder or prefix is not allowed.

    """
    if wanted.files is not None:
        return Prefix(object_key(database, wanted.files))
    if wanted.folder is None:
        return None
    name, _, rest = wanted.folder.partition("/")
    root = settings().import_folders.get(name)
    if root is None or not root.is_dir():
        raise InvalidSourceError(f"folder: {name!r} is none of the folders that the operator allowed")
    folder = (root / rest).resolve()
    if not folder.is_relative_to(root.resolve()) or not folder.is_dir():
        raise InvalidSourceError(f"folder: {wanted.folder!r} is no folder there")
    return Folder(folder)
