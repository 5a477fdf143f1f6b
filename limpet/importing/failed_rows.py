"""Write failed rows as they were, with the reason beside them, to be corrected and imported again."""

import csv
import json
import os
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO
from uuid import UUID

import click

from limpet.http.client import Client, ClientError
from limpet.importing.source import Source
from schemas.answers import ItemStatus
from schemas.manifest.reader import Header, Row

_REPORT_COLUMNS = ("status", "error", "line")
# Used if the manifest has columns of those names.
_PREFIXED_REPORT_COLUMNS = ("limpet_status", "limpet_error", "limpet_line")
_ERRORS = "surrogateescape"  # bytes of the manifest that are not UTF-8 are written back as they were
_TOO_FEW_CELLS = "too few cells: complete the row and remove this cell"


@dataclass(frozen=True, slots=True)
class Ending:
    """The verdict on one row."""

    position: int
    status: int | str
    error: str


Writer = Callable[[Row, Ending], None]


def failures(client: Client, batch_id: UUID) -> Iterator[Ending]:
    """Yield the verdicts on the failed rows of a batch, in order, in constant memory."""
    path = f"/batches/{batch_id}/report?outcome=failed,invalid,cancelled"
    with client.opened("GET", path, headers={"Accept": "application/x-ndjson"}) as response:
        for text in response.iter_lines():
            item = ItemStatus.model_validate_json(text)
            yield Ending(item.position, item.status, item.body)


@contextmanager
def report_file(out: Path | None, header: Header) -> Iterator[Writer]:
    """Yield a function that writes one row with its reason to ``out``, in the manifest's format; no ``out``: nowhere.

    Raises:
        ClientError: ``out`` can't be written.

    """
    if out is None:
        yield lambda _row, _ending: None
        return
    try:
        with _replace_when_complete(out) as path, path.open("w", encoding="utf-8", errors=_ERRORS, newline="") as file:
            yield _writer(file, header)
    except OSError as fault:
        raise ClientError(f"--report {out}: {fault}") from fault


def check_report(out: Path | None, manifest: str) -> None:
    """Check that a report can be written to ``out``.

    Raises:
        click.BadParameter: ``out`` can't be written, or is the manifest.

    """
    if out is None:
        return
    if _is_manifest(out, manifest):
        raise click.BadParameter(f"{out} is the manifest itself", param_hint="--report")
    try:
        if _is_replaced(out):
            _create_beside(out).unlink()
    except OSError as fault:
        raise click.BadParameter(f"{out} can't be written: {fault.strerror}", param_hint="--report") from fault


def _is_manifest(out: Path, manifest: str) -> bool:
    with suppress(OSError):  # one of them does not exist yet
        state = os.fstat(sys.stdin.fileno()) if manifest == "-" else Path(manifest).stat()
        return out.is_file() and os.path.samestat(out.stat(), state)
    return False


def _is_replaced(out: Path) -> bool:
    """Return whether ``out`` is a file or does not exist yet; a pipe or a terminal is written to directly."""
    return out.is_file() or not out.exists()


def _create_beside(out: Path) -> Path:
    """Create a temporary file in the folder of ``out``, all links followed, and return its path."""
    new = out.resolve().with_name(f".limpet-{secrets.token_hex(4)}")
    new.touch(exist_ok=False)
    return new


@contextmanager
def _replace_when_complete(out: Path) -> Iterator[Path]:
    """Yield the path of a temporary file that replaces ``out`` once it is complete."""
    if not _is_replaced(out):
        yield out
        return
    new, target = _create_beside(out), out.resolve()
    try:
        yield new
        if target.exists():
            shutil.copymode(target, new)
        new.replace(target)
    finally:
        new.unlink(missing_ok=True)


def write_report(out: Path, source: Source, endings: Iterator[Ending]) -> int:
    """Write the rows of ``endings`` in the manifest's format; return how many."""
    count = 0
    with report_file(out, source.header) as write:
        rows = enumerate(source.rows())
        for ending in endings:
            row = next(row for position, row in rows if position == ending.position)
            write(row, ending)
            count += 1
    return count


def _writer(file: TextIO, header: Header) -> Writer:
    """Return a function that writes one row with its reason, in the manifest's format."""
    if header.format == "ndjson":
        return lambda row, ending: _write_json(file, row, ending)
    out = csv.writer(file)
    own, added = own_columns(header.written)
    out.writerow([*own, *added])

    def write(row: Row, ending: Ending) -> None:
        cells = row.cells or [row.raw.decode(errors=_ERRORS).rstrip("\r\n")]
        known = [*cells[: len(own)], *[""] * (len(own) - len(cells))]
        out.writerow([*known, ending.status, ending.error, row.line or "", *_extra_cells(cells, header.written)])

    return write


def own_columns(names: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """Return the manifest's own columns of ``names``, and the names of the three that a report adds.

    A report that is imported again ends with those three; a new report replaces them.
    """
    for added in (_REPORT_COLUMNS, _PREFIXED_REPORT_COLUMNS):
        if tuple(names[-len(added) :]) == added:
            return names[: -len(added)], added
    return names, _PREFIXED_REPORT_COLUMNS if set(_REPORT_COLUMNS) & set(names) else _REPORT_COLUMNS


def _extra_cells(cells: Sequence[str], written: Sequence[str]) -> Sequence[str]:
    """Return the cells behind the columns; if cells are missing, a note that makes an import refuse the row."""
    return [_TOO_FEW_CELLS] if len(cells) < len(written) else cells[len(written) :]


def _write_json(file: TextIO, row: Row, ending: Ending) -> None:
    values = (ending.status, ending.error, row.line)
    text = row.raw.decode(errors=_ERRORS).removeprefix("\ufeff").strip()
    if row.flaw is not None:
        kept = text.encode(errors=_ERRORS).decode(errors="replace")
        file.write(json.dumps({"row": kept, **dict(zip(_REPORT_COLUMNS, values, strict=True))}) + "\n")
        return
    found = json.loads(text)
    own, added = own_columns(list(found))
    members = {name: found[name] for name in own} | dict(zip(added, values, strict=True))
    # Half of a surrogate pair can be written as an escape only.
    file.write(json.dumps(members, ensure_ascii="\\u" in text) + "\n")
