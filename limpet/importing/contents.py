"""Contents on their way to the object store, many at once: hashed while read, past the API, each byte once."""

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from limpet.client import ClientError, NoAnswerError
from limpet.importing.calls import Calls
from schemas.imports import ContentName, ContentPlace, Import, RowContent
from schemas.manifest_files import CHANGED, FileFlawError, below, digest

AT_ONCE = 24
_PIECE = 2**18
_AGAIN = 0.5  # seconds


@dataclass(frozen=True, slots=True)
class Found:
    """A file and what was in it when it was hashed."""

    path: Path
    name: ContentName


Content = RowContent | FileFlawError


def _connections() -> httpx.Client:
    # The store may be slow to acknowledge what is large.
    return httpx.Client(
        timeout=httpx.Timeout(120, connect=5),
        limits=httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=AT_ONCE),
        mounts={"all://127.0.0.1": None, "all://localhost": None},
    )


@dataclass
class Contents:
    """The files of one import: below ``folder`` (resolved), with the connections to the store."""

    folder: Path
    calls: Calls
    opened: Import
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(AT_ONCE, "contents"))
    uploaded: int = 0
    _http: httpx.Client = field(default_factory=_connections)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def bring(self, paths: Sequence[str]) -> dict[str, Content]:
        """Return for each path the content that a row may name, stored by then, or why there is none."""
        wanted = list(dict.fromkeys(paths))
        found = dict(zip(wanted, self.pool.map(self._look, wanted), strict=True))
        one_each = {f.name.sha256: f for f in found.values() if isinstance(f, Found)}
        stored = self._store(list(one_each.values()))
        return {path: f if isinstance(f, FileFlawError) else stored[f.name.sha256] for path, f in found.items()}

    def close(self) -> None:
        """Close connections and threads."""
        self.pool.shutdown(cancel_futures=True)
        self._http.close()

    def _look(self, path: str) -> Found | FileFlawError:
        try:
            file = below(self.folder, path)
            return Found(file, digest(file))
        except FileFlawError as flaw:
            return flaw

    def _store(self, files: Sequence[Found]) -> dict[str, Content]:
        if not files:
            return {}
        places = self.calls.places(self.opened.id, [f.name for f in files])
        ends = self.pool.map(self._upload, files, places)
        return {f.name.sha256: end for f, end in zip(files, ends, strict=True)}

    def _upload(self, file: Found, place: ContentPlace) -> Content:
        end = time.monotonic() + self.calls.patience
        while place.url is not None:
            try:
                self._put(file, place)
                break
            except FileFlawError as flaw:
                return flaw
            except (httpx.TransportError, NoAnswerError) as fault:
                if time.monotonic() > end:
                    raise NoAnswerError(f"the object store does not take {file.path.name}: {fault}") from fault
            time.sleep(_AGAIN)
            # By now it may be stored, or the place may have expired.
            (place,) = self.calls.places(self.opened.id, [file.name])
        return RowContent(sha256=place.sha256, size=place.size, place=place.place)

    def _put(self, file: Found, place: ContentPlace) -> None:
        assert place.url is not None
        headers = {**place.headers, "Content-Length": str(file.name.size)}
        answer = self._http.put(place.url, content=_pieces(file), headers=headers)
        if answer.status_code == httpx.codes.BAD_REQUEST and b"Digest" in answer.content:
            raise FileFlawError(CHANGED)
        if answer.is_error:
            raise NoAnswerError(f"HTTP {answer.status_code} {answer.text[:200]}")
        with self._lock:
            self.uploaded += file.name.size


def _pieces(file: Found) -> Iterator[bytes]:
    """Yield exactly as many bytes as were hashed."""
    left = file.name.size
    try:
        with file.path.open("rb") as stream:
            while left and (piece := stream.read(min(_PIECE, left))):
                left -= len(piece)
                yield piece
    except OSError as fault:
        raise FileFlawError(CHANGED) from fault
    if left:
        raise FileFlawError(CHANGED)


def folder_of(path: Path) -> Path:
    """Return the folder of the files, all links followed.

    Raises:
        ClientError: it is none.

    """
    if not path.is_dir():
        raise ClientError(f"--files {path}: no such folder")
    return path.resolve()
