"""Manifests: rows of CSV (header = field names) or NDJSON, plain or gzip, read as a stream.

An invalid row has a ``flaw`` (the reason) and its line number, and reading goes on. A
quoted field may hold newlines, so a quote opened by mistake extends to the next one.
If none follows, only its line is invalid, and reading goes on with the next line.
Blank lines are no rows.
"""

import csv
import gzip
import json
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal, NamedTuple, NoReturn, cast

Format = Literal["csv", "ndjson"]
_BOM = b"\xef\xbb\xbf"
_MAX_LINE_BYTES = 2**20
_INTEGERS = ("caseAttachment_Key", "case_Key", "id")
_INTEGER = re.compile(r"-?\d{1,20}", re.ASCII)


class ManifestError(Exception):
    """The manifest as a whole can't be read; the text says why."""


class Row(NamedTuple):
    """One row: its line, the offset behind it, its fields (and cells, of CSV), or why it is invalid (``flaw``)."""

    line: int
    end: int
    raw: bytes
    fields: Mapping[str, Any]
    cells: Sequence[str] = ()
    flaw: str | None = None


@dataclass(frozen=True, slots=True)
class Header:
    """The format of the rows, and where they begin. CSV has columns, as ``written`` and as mapped (``columns``)."""

    format: Format
    written: Sequence[str]
    columns: Sequence[str]
    mapping: Mapping[str, str]
    end: int
    line: int
    cleared: Sequence[str] = ()
    """Columns whose empty cells are null; an empty cell of any other says nothing."""


def uncompressed(stream: BinaryIO) -> BinaryIO:
    """Return ``stream`` (seekable), or if it is gzip a stream that decompresses it."""
    magic = stream.read(2)
    stream.seek(0)
    return cast("BinaryIO", gzip.GzipFile(fileobj=stream)) if magic == b"\x1f\x8b" else stream


def read_header(stream: BinaryIO, mapping: Mapping[str, str], clearable: Sequence[str] = ()) -> Header:
    """Read the format and the header from the start; ``mapping`` renames columns and members, old to new.

    Raises:
        ManifestError: the stream is no manifest.

    """
    lines = _Lines(stream, 0, 0)
    first = lines.next()
    while first is not None and not first.data.strip().removeprefix(_BOM):
        first = lines.next()
    if first is None:
        raise ManifestError("the manifest is empty")
    text = first.data.removeprefix(_BOM).lstrip()
    if text.startswith(b"["):
        raise ManifestError("the manifest is a JSON array; send NDJSON, one object on each line")
    if text.startswith(b"{"):
        return Header("ndjson", (), (), mapping, first.start, first.number - 1)
    lines.push_back([first])
    row = next(_csv_rows(lines, Header("csv", (), (), mapping, 0, 0)), None)
    if row is None or row.flaw or not row.cells:
        raise ManifestError(f"line {first.number}: the header is no CSV, or not UTF-8")
    written = [cell.strip() for cell in row.cells]
    columns = [mapping.get(name, name) for name in written]
    if doubled := {name for name in columns if columns.count(name) > 1}:
        raise ManifestError(f"the header names {', '.join(sorted(doubled))} twice")
    if unknown := set(mapping) - set(written):
        raise ManifestError(f"the header has no column {', '.join(sorted(unknown))}; it has {', '.join(written)}")
    cleared = [name for name in columns if name in clearable]
    return Header("csv", written, columns, mapping, row.end, row.line + row.raw.count(b"\n") - 1, cleared)


def rows(stream: BinaryIO, header: Header, offset: int | None = None, line: int | None = None) -> Iterator[Row]:
    """Yield the rows from byte ``offset`` on, which follows line ``line``; by default all rows."""
    start = header.end if offset is None else offset
    stream.seek(start)
    lines = _Lines(stream, start, header.line if line is None else line)
    if header.format == "csv":
        return (row for row in _csv_rows(lines, header) if row.flaw or row.cells)  # a blank line has no cells
    return _json_rows(lines, header)


class _Line(NamedTuple):
    data: bytes
    number: int
    start: int
    end: int


class _Lines:
    """Counts the lines of a stream; the caller may push some back."""

    def __init__(self, stream: BinaryIO, offset: int, number: int) -> None:
        self._stream = stream
        self._offset = offset
        self._number = number
        self._again: list[_Line] = []

    def next(self) -> _Line | None:
        if self._again:
            return self._again.pop()
        start = self._offset
        piece = data = self._read()
        if not data:
            return None
        while len(piece) == _MAX_LINE_BYTES and not piece.endswith(b"\n"):  # never held whole
            piece = self._read()
        self._number += 1
        return _Line(data, self._number, start, self._offset)

    def _read(self) -> bytes:
        try:
            data = self._stream.readline(_MAX_LINE_BYTES)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ManifestError(f"the gzip file is damaged behind line {self._number}: {error}") from error
        self._offset += len(data)
        return data

    def push_back(self, lines: Sequence[_Line]) -> None:
        self._again.extend(reversed(lines))


class _Feed:
    """Feeds lines to csv and keeps those of the current record."""

    def __init__(self, lines: _Lines) -> None:
        self._lines = lines
        self.record: list[_Line] = []

    def __iter__(self) -> "_Feed":
        return self

    def __next__(self) -> str:
        line = self._lines.next()
        if line is None:
            raise StopIteration
        self.record.append(line)
        data = line.data.removeprefix(_BOM) if line.start == 0 else line.data
        return data.decode(errors="surrogateescape")


def _csv_rows(lines: _Lines, header: Header) -> Iterator[Row]:
    feed = _Feed(lines)
    reader = csv.reader(feed, strict=True)
    while True:
        feed.record.clear()
        try:
            cells = next(reader, None)
        except csv.Error as error:
            first = feed.record[0]
            lines.push_back(feed.record[1:])
            yield Row(first.number, first.end, first.data, {}, flaw=f"is no CSV: {error}")
            continue
        if cells is None:
            return
        raw = b"".join(line.data for line in feed.record) if len(feed.record) > 1 else feed.record[0].data
        yield _csv_row(header, cells, feed.record[0].number, feed.record[-1].end, raw)


def _csv_row(header: Header, cells: list[str], line: int, end: int, raw: bytes) -> Row:
    columns = header.columns
    flaw = None
    if not raw.isascii():
        flaw = _not_utf8(raw)
    if flaw is None and cells and columns and len(cells) != len(columns):
        flaw = f"has {len(cells)} columns, and the header has {len(columns)}"
    if flaw is None and len(raw) >= _MAX_LINE_BYTES:
        flaw = f"is longer than {_MAX_LINE_BYTES} bytes"
    fields: dict[str, Any] = {name: cell for name, cell in zip(columns, cells, strict=False) if cell}
    for name in header.cleared:
        fields.setdefault(name, None)
    for name in _INTEGERS:
        if _INTEGER.fullmatch(fields.get(name, "")):
            fields[name] = int(fields[name])
    return Row(line, end, raw, fields, cells, flaw)


def _not_utf8(raw: bytes) -> str | None:
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        return f"is not UTF-8: {error.reason}, 0x{raw[error.start]:02x} at byte {error.start}"
    return None


def _json_rows(lines: _Lines, header: Header) -> Iterator[Row]:
    while (line := lines.next()) is not None:
        data = line.data.removeprefix(_BOM) if line.start == 0 else line.data
        if not data.strip():
            continue
        fields: dict[str, Any] = {}
        flaw = None
        try:
            fields, flaw = _json_fields(data, header.mapping)
        except UnicodeDecodeError as error:
            flaw = f"is not UTF-8: {error.reason}, 0x{data[error.start]:02x} at byte {error.start}"
        except (ValueError, RecursionError) as error:
            flaw = f"is no JSON: {error}"
        yield Row(line.number, line.end, line.data, fields, flaw=flaw)


def _json_fields(data: bytes, mapping: Mapping[str, str]) -> tuple[dict[str, Any], str | None]:
    found = json.loads(data.decode(), parse_constant=_refuse)
    if not isinstance(found, dict):
        return {}, "is no JSON object"
    return {mapping.get(name, name): value for name, value in found.items()} if mapping else found, None


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")
