"""Rows in large parts: the contents of the next parts go to the store while one part is being appended."""

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

from limpet.client import RefusedError
from limpet.importing.calls import Calls
from limpet.importing.contents import Contents
from schemas.imports import Import
from schemas.manifest import Row
from schemas.manifest_files import FileFlawError, path_of, with_file_name

_MOST_ROWS, _MOST_BYTES, _MOST_FILES = 5000, 4 * 2**20, 400
_PREPARING = 2
_TRIES = 5


@dataclass(frozen=True, slots=True)
class Part:
    """Consecutive rows of a manifest; ``first`` is the position of the first one."""

    first: int
    rows: Sequence[Row]


@dataclass(frozen=True, slots=True)
class Sender:
    """Sends the rows of one import, with the contents of their files if there are any."""

    calls: Calls
    opened: Import
    contents: Contents | None

    def send(self, rows: Iterator[Row], tell: Callable[[int], None]) -> None:
        """Append what the import lacks of ``rows``. After each part ``tell`` hears the next row and may wait.

        Raises:
            RefusedError: the import was closed or cancelled by somebody else.
            NoAnswerError: the server stayed away.

        """
        skipped = sum(1 for _ in islice(rows, self.opened.next_row))
        waiting: deque[tuple[Part, Future[bytes]]] = deque()
        with ThreadPoolExecutor(_PREPARING, "parts") as pool:
            for part in parts(rows, skipped, with_files=self.contents is not None):
                waiting.append((part, pool.submit(self._lines, part)))
                if len(waiting) > _PREPARING:
                    tell(self._append(*waiting.popleft()))
            while waiting:
                tell(self._append(*waiting.popleft()))

    def _append(self, part: Part, prepared: Future[bytes]) -> int:
        lines = prepared.result()
        for attempt in range(_TRIES):
            try:
                return self.calls.append(self.opened.id, part.first, lines).next_row
            except RefusedError as refusal:
                # A content that was known when we asked was removed since, or lay at its place for too long.
                if refusal.reason != "ContentMissingError" or attempt == _TRIES - 1:
                    raise
            lines = self._lines(part)
        raise AssertionError

    def _lines(self, part: Part) -> bytes:
        if self.contents is None:
            return b"".join(line_of(row, row.fields) for row in part.rows)
        paths = {row.line: path for row in part.rows if row.flaw is None and (path := path_of(row.fields))}
        brought = self.contents.bring(list(paths.values()))
        return b"".join(self._with_content(row, paths.get(row.line), brought) for row in part.rows)

    def _with_content(self, row: Row, path: str | None, brought: Mapping[str, object]) -> bytes:
        if path is None:
            return line_of(row, row.fields)
        content = brought[path]
        if isinstance(content, FileFlawError):
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


def _line(value: object) -> bytes:
    return json.dumps(value, default=_plain).encode() + b"\n"


def _plain(value: object) -> object:
    return value.model_dump()  # type: ignore[attr-defined]


def parts(rows: Iterable[Row], first: int, *, with_files: bool) -> Iterator[Part]:
    """Yield ``rows`` in parts, bounded by rows, bytes and files."""
    part: list[Row] = []
    size = files = 0
    for row in rows:
        part.append(row)
        size += len(row.raw)
        files += with_files and path_of(row.fields) is not None
        if len(part) == _MOST_ROWS or size >= _MOST_BYTES or files == _MOST_FILES:
            yield Part(first, part)
            first, part, size, files = first + len(part), [], 0, 0
    if part:
        yield Part(first, part)
