"""Hash files and upload their contents to the object store, past the API, many at once and each content once."""

import re
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from limpet.http.client import NoAnswerError
from limpet.http.imports import ImportCalls
from limpet.http.object_puts import ObjectPuts, PutAnswer
from schemas.imports import ContentName, ContentPlace, Import, RowContent
from schemas.manifest.local_files import CHANGED, InvalidFileError, below, digest
from schemas.store_codes import DIGEST_ERROR_CODES, is_object_refused

MAX_UPLOADS = 24
_PIECE_BYTES = 2**18
_RETRY_PAUSE_SECONDS = 0.5
_ERROR_CODE = re.compile(r"<Code>(\w+)</Code>")


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file and its content address when it was hashed."""

    path: Path
    name: ContentName


UploadResult = RowContent | InvalidFileError


@dataclass
class ContentUploader:
    """Uploads the files of one import; they lie below ``folder``, a resolved path."""

    folder: Path
    calls: ImportCalls
    opened: Import
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(MAX_UPLOADS, "contents"))
    uploaded: int = 0
    _puts: ObjectPuts = field(default_factory=ObjectPuts)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def upload(self, paths: Sequence[str]) -> dict[str, UploadResult]:
        """Store the contents of ``paths``; return for each path the content for its row, or why the file is invalid."""
        unique = list(dict.fromkeys(paths))
        hashed = dict(zip(unique, self.pool.map(self._hash_file, unique), strict=True))
        same: dict[str, list[FoundFile]] = {}
        for found in hashed.values():
            if isinstance(found, FoundFile):
                same.setdefault(found.name.sha256, []).append(found)
        results = self._upload_groups(list(same.values()))
        return {path: results[found.path] if isinstance(found, FoundFile) else found for path, found in hashed.items()}

    def size_of(self, path: str) -> int:
        """Return the size of a file in bytes, 0 if it can't be read."""
        try:
            return below(self.folder, path).stat().st_size
        except (InvalidFileError, OSError):
            return 0

    def close(self) -> None:
        """Close connections and threads."""
        self.pool.shutdown(cancel_futures=True)
        self._puts.close()

    def _hash_file(self, path: str) -> FoundFile | InvalidFileError:
        try:
            file = below(self.folder, path)
            return FoundFile(file, digest(file))
        except InvalidFileError as invalid:
            return invalid

    def _upload_groups(self, groups: Sequence[Sequence[FoundFile]]) -> dict[Path, UploadResult]:
        places = self.calls.places(self.opened.id, [files[0].name for files in groups]) if groups else []
        results = self.pool.map(self.store_one, groups, places)
        return {path: result for group in results for path, result in group.items()}

    def store_one(self, files: Sequence[FoundFile], place: ContentPlace) -> dict[Path, UploadResult]:
        """Store the content that ``files`` share, from the first of them that did not change; return each result."""
        results: dict[Path, UploadResult] = {}
        for file in files:
            result = self._upload_file(file, place)
            if isinstance(result, RowContent):
                return {f.path: result for f in files} | results
            results[file.path] = result
        return results

    def _upload_file(self, file: FoundFile, place: ContentPlace) -> UploadResult:
        end = time.monotonic() + self.calls.patience
        while place.url is not None:
            try:
                self._put(file, place)
                break
            except InvalidFileError as invalid:
                return invalid
            except NoAnswerError as fault:
                if time.monotonic() > end:
                    raise NoAnswerError(f"the object store does not take {file.path.name}: {fault}") from fault
            time.sleep(_RETRY_PAUSE_SECONDS)
            # Another client may have stored it, or the place may have expired.
            (place,) = self.calls.places(self.opened.id, [file.name])
        return RowContent(sha256=place.sha256, size=place.size, place=place.place)

    def _put(self, file: FoundFile, place: ContentPlace) -> None:
        assert place.url is not None
        headers = {**place.headers, "Content-Length": str(file.name.size)}
        answer = self._puts.put(place.url, headers, _read_pieces(file))
        if not 200 <= answer.status < 300:  # noqa: PLR2004  RFC 9110 §15.3
            raise refusal_of(answer)
        with self._lock:
            self.uploaded += file.name.size


def refusal_of(answer: PutAnswer) -> InvalidFileError | NoAnswerError:
    """Return the error for a failed PUT: the file is invalid, or the failure is transient."""
    code = found[1] if (found := _ERROR_CODE.search(answer.text)) else ""
    if code in DIGEST_ERROR_CODES:
        return InvalidFileError(CHANGED)
    if is_object_refused(answer.status, code):
        return InvalidFileError(f"is refused by the object store: HTTP {answer.status} {code}".strip())
    return NoAnswerError(f"HTTP {answer.status} {code or answer.text[:200]}")


def _read_pieces(file: FoundFile) -> Iterator[bytes]:
    """Yield exactly as many bytes as were hashed; a shorter file is invalid."""
    left = file.name.size
    try:
        with file.path.open("rb") as stream:
            while left and (piece := stream.read(min(_PIECE_BYTES, left))):
                left -= len(piece)
                yield piece
    except OSError as error:
        raise InvalidFileError(CHANGED) from error
    if left:
        raise InvalidFileError(CHANGED)
