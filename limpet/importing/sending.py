"""Rows in large parts: the contents of the next parts go to the store while one part is being appended."""

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
from schemas.imports import Import
from schemas.manifest.local_files import InvalidFileError, path_of, with_file_name
from schemas.manifest.reader import Row

# Of one part: its contents must all be stored before it is appended, while the places of the first ones are kept.
_MOST_ROWS, _MOST_BYTES, _MOST_FILES, _MOST_CONTENT = 5000, 4 * 2**20, 400, 2**28
LARGEST_BODY = 2**23  # of one request; the API takes twice as much
_PREPARING = 2
_TRIES = 5


@dataclass(frozen=True, slots=True)
class RowPart:
    """Consecutive rows of a manifest; ``first`` is the position of the first one."""

    first: int
    rows: Sequence[Row]


@dataclass(frozen=True, slots=True)
class Sender:
    """Sends the rows of one import, with the contents of their files if there are any."""

    calls: ImportCalls
    opened: Import
    contents: ContentUploader | None

    def send(self, rows: Iterator[Row], tell: Callable[[int], None]) -> None:
        """Append what the import lacks of ``rows``. After each part ``tell`` hears the next row and may wait.

        Raises:
            RefusedError: the import was closed or cancelled by somebody else.
            NoAnswerError: the server stayed away.

        """
        skipped = sum(1 for _ in islice(rows, self.opened.next_row))
        waiting: deque[tuple[RowPart, Future[list[bytes]]]] = deque()
        with ThreadPoolExecutor(_PREPARING, "parts") as pool:
            for part in parts(rows, skipped, self._content_size):
                waiting.append((part, pool.submit(self._lines, part)))
                if len(waiting) > _PREPARING:
                    tell(self._append(*waiting.popleft()))
            while waiting:
                tell(self._append(*waiting.popleft()))

    def _append(self, part: RowPart, prepared: Future[list[bytes]]) -> int:
        lines = prepared.result()
        for attempt in range(_TRIES):
            try:
                return self._put(part.first, lines)
            except RequestRefusedError as refusal:
                # A content that was known when we asked was removed since, or lay at its place for too long.
                if refusal.reason != "ContentMissingError" or attempt == _TRIES - 1:
                    raise
            lines = self._lines(part)
        raise AssertionError

    def _put(self, first: int, lines: Sequence[bytes]) -> int:
        for body in bodies(lines):
            self.calls.append(self.opened.id, first, b"".join(body))
            first += len(body)
        return first

    def _lines(self, part: RowPart) -> list[bytes]:
        paths = {row.line: path for row in part.rows if (path := self._path(row))}
        brought = self.contents.bring(list(paths.values())) if self.contents and paths else {}
        return [self._with_content(row, paths.get(row.line), brought) for row in part.rows]

    def _path(self, row: Row) -> str | None:
        return path_of(row.fields, self.opened.kind) if self.contents and row.flaw is None else None

    def _content_size(self, row: Row) -> int | None:
        path = self._path(row)
        return self.contents.size_of(path) if self.contents and path else None

    def _with_content(self, row: Row, path: str | None, brought: Mapping[str, object]) -> bytes:
        if path is None:
            return line_of(row, row.fields)
        content = brought[path]
        if isinstance(content, InvalidFileError):
            return flawed(row, str(content))
        return line_of(row, with_file_name(row.fields, path, self.opened.kind), content)


def flawed(row: Row, why: str) -> bytes:
    """Return the line that says what is wrong with the file of ``row``."""
    return _line({"line": row.line, "item": row.fields, "flaw": {"field": "attachment_Path", "message": why}})


def line_of(row: Row, fields: object, content: object = None) -> bytes:
    """Return the line that says ``row``."""
    if row.flaw is not None:
        return _line({"line": row.line, "item": row.fields, "flaw": {"message": row.flaw, "status": 400}})
    return _line({"line": row.line, "item": fields} | ({"content": content} if content else {}))


def _line(value: Mapping[str, object]) -> bytes:
    try:
        line = to_json(value) + b"\n"
    except ValueError:  # half of a surrogate pair, which the standard library alone can spell
        line = json.dumps(value, default=_plain).encode() + b"\n"
    if len(line) <= LARGEST_BODY:
        return line
    flaw = {"message": f"takes {len(line)} bytes on its way, and {LARGEST_BODY} is the most", "status": 413}
    return _line({"line": value["line"], "flaw": value.get("flaw", flaw)})


def _plain(value: object) -> object:
    return value.model_dump()  # type: ignore[attr-defined]


def bodies(lines: Iterable[bytes]) -> Iterator[Sequence[bytes]]:
    """Yield ``lines`` in groups of ``LARGEST_BODY`` bytes at most."""
    group: list[bytes] = []
    size = 0
    for line in lines:
        if group and size + len(line) > LARGEST_BODY:
            yield group
            group, size = [], 0
        group.append(line)
        size += len(line)
    if group:
        yield group


def parts(
    rows: Iterable[Row], first: int, content_size: Callable[[Row], int | None] = lambda _: None
) -> Iterator[RowPart]:
    """Yield ``rows`` in parts, bounded by rows, bytes, files and the bytes of these; one file may be larger.

    ``content_size`` is of a row's file, None if it has none.
    """
    part: list[Row] = []
    size = files = content = 0
    for row in rows:
        more = content_size(row)
        full = len(part) == _MOST_ROWS or size >= _MOST_BYTES or files == _MOST_FILES
        if part and (full or content + (more or 0) > _MOST_CONTENT):
            yield RowPart(first, part)
            first, part, size, files, content = first + len(part), [], 0, 0, 0
        part.append(row)
        size += len(row.raw) + sum(map(len, row.fields))  # as names are sent with each row
        files += more is not None
        content += more or 0
    if part:
        yield RowPart(first, part)
