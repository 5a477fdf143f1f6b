"""Rows of a manifest in parts, and each row as an import takes it: for the client and for the servers' loader."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from sys import maxsize

from schemas.imports import ImportKind, RowContent
from schemas.manifest.local_files import InvalidFileError, path_of, with_file_name
from schemas.manifest.reader import Row


@dataclass(frozen=True, slots=True)
class PartLimits:
    """The most that one part has: rows, bytes of these, files, and bytes of these; one row or file may be larger."""

    rows: int
    row_bytes: int = maxsize
    files: int = maxsize
    file_bytes: int = maxsize


@dataclass(frozen=True, slots=True)
class RowPart:
    """Consecutive rows of a manifest; ``first`` is the position of the first one."""

    first: int
    rows: Sequence[Row]


def parts(
    rows: Iterable[Row], first: int, limits: PartLimits, file_size: Callable[[Row], int | None] = lambda _: None
) -> Iterator[RowPart]:
    """Yield ``rows``, the first of them at position ``first``, in parts within ``limits``.

    ``file_size`` returns the bytes of a row's file, None for a row without one.
    """
    part: list[Row] = []
    row_bytes = files = file_bytes = 0
    for row in rows:
        size = file_size(row)
        full = len(part) == limits.rows or row_bytes >= limits.row_bytes or files == limits.files
        if part and (full or file_bytes + (size or 0) > limits.file_bytes):
            yield RowPart(first, part)
            first, part, row_bytes, files, file_bytes = first + len(part), [], 0, 0, 0
        part.append(row)
        row_bytes += len(row.raw) + sum(map(len, row.fields))  # a client sends the names with each row
        files += size is not None
        file_bytes += size or 0
    if part:
        yield RowPart(first, part)


def file_path(row: Row, kind: ImportKind) -> str | None:
    """Return the path of the file that ``row`` names, None if it names none or is invalid."""
    return path_of(row.fields, kind) if row.flaw is None else None


def row_members(
    row: Row, kind: ImportKind, path: str | None = None, content: RowContent | InvalidFileError | None = None
) -> Mapping[str, object]:
    """Return the members of an `ImportRow`: a client encodes a dict in half the time of the model.

    ``path`` gives the row a file name. ``content`` is what the row brings, or why its file is invalid.
    """
    if row.flaw is not None:
        return {"line": row.line, "item": row.fields, "flaw": {"message": row.flaw, "status": 400}}
    if isinstance(content, InvalidFileError):
        flaw = {"field": "attachment_Path", "message": str(content)}
        return {"line": row.line, "item": row.fields, "flaw": flaw}
    item = row.fields if path is None else with_file_name(row.fields, path, kind)
    return {"line": row.line, "item": item} | ({"content": content} if content else {})
