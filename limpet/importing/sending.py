"""Send rows in large parts: while one part is appended, the contents of the next parts are uploaded."""

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

from pydantic_core import to_json

from limpet.http.client import RequestRefusedError
from limpet.http.imports import ImportCalls
from limpet.importing.contents import ContentUploader
from schemas.imports import Import, RowContent
from schemas.manifest.parts import PartLimits, RowPart, file_path, parts, row_members
from schemas.manifest.reader import Row

# All contents of a part must be stored before it is appended, and before the collector removes the first of them.
PART_LIMITS = PartLimits(rows=5000, row_bytes=4 * 2**20, files=400, file_bytes=2**28)
MAX_BODY_BYTES = 2**23  # of one request; the API takes twice as much
_MAX_PREPARED_PARTS = 2
_MAX_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Sender:
    """Sends the rows of one import, and the contents of their files if it has files."""

    calls: ImportCalls
    opened: Import
    contents: ContentUploader | None

    def send(self, rows: Iterator[Row], report_progress: Callable[[int], None]) -> None:
        """Append the rows that the import lacks; after each part call ``report_progress`` with the next row's position.

        ``report_progress`` may wait, and sending waits with it.

        Raises:
            RequestRefusedError: another client closed or cancelled the import.
            NoAnswerError: the server did not answer for too long.

        """
        skipped = sum(1 for _ in islice(rows, self.opened.next_row))
        waiting: deque[tuple[RowPart, Future[list[bytes]]]] = deque()
        with ThreadPoolExecutor(_MAX_PREPARED_PARTS, "parts") as pool:
            for part in parts(rows, skipped, PART_LIMITS, self._file_size):
                waiting.append((part, pool.submit(self._prepare, part)))
                if len(waiting) > _MAX_PREPARED_PARTS:
                    report_progress(self._append(*waiting.popleft()))
            while waiting:
                report_progress(self._append(*waiting.popleft()))

    def _append(self, part: RowPart, prepared: Future[list[bytes]]) -> int:
        lines = prepared.result()
        for attempt in range(_MAX_ATTEMPTS):
            try:
                return self._put(part.first, lines)
            except RequestRefusedError as refusal:
                # A content was removed since it was found stored, or since it was uploaded.
                if refusal.reason != "ContentMissingError" or attempt == _MAX_ATTEMPTS - 1:
                    raise
            lines = self._prepare(part)
        raise AssertionError

    def _put(self, first: int, lines: Sequence[bytes]) -> int:
        for body in bodies(lines):
            self.calls.append(self.opened.id, first, b"".join(body))
            first += len(body)
        return first

    def _prepare(self, part: RowPart) -> list[bytes]:
        paths = [self._path(row) for row in part.rows]
        file_paths = [path for path in paths if path is not None]
        contents = self.contents.upload(file_paths) if self.contents and file_paths else {}
        return [
            line_of(row_members(row, self.opened.kind, path, contents[path] if path is not None else None))
            for row, path in zip(part.rows, paths, strict=True)
        ]

    def _path(self, row: Row) -> str | None:
        return file_path(row, self.opened.kind) if self.contents else None

    def _file_size(self, row: Row) -> int | None:
        path = self._path(row)
        return self.contents.size_of(path) if self.contents and path else None


def line_of(members: Mapping[str, object]) -> bytes:
    """Return the line of NDJSON for an `ImportRow`; a row that no request has room for is sent as invalid."""
    try:
        line = to_json(members) + b"\n"
    except ValueError:  # half of a surrogate pair, which only the standard library can encode
        line = json.dumps(members, default=_as_dict).encode() + b"\n"
    if len(line) <= MAX_BODY_BYTES:
        return line
    flaw = {"message": f"takes {len(line)} bytes on its way, and {MAX_BODY_BYTES} is the most", "status": 413}
    return line_of({"line": members["line"], "flaw": members.get("flaw", flaw)})


def _as_dict(content: RowContent) -> dict[str, object]:
    return content.model_dump()


def bodies(lines: Iterable[bytes]) -> Iterator[Sequence[bytes]]:
    """Yield ``lines`` in groups of `MAX_BODY_BYTES` at most."""
    group: list[bytes] = []
    size = 0
    for line in lines:
        if group and size + len(line) > MAX_BODY_BYTES:
            yield group
            group, size = [], 0
        group.append(line)
        size += len(line)
    if group:
        yield group
