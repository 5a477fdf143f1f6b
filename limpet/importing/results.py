"""The failed rows of an import as they were, with the reason beside: ready to be mended and imported again."""

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO
from uuid import UUID

from limpet.client import Client
from limpet.importing.source import Source
from schemas.answers import ItemStatus
from schemas.manifest import Header, Row

_ADDED = ("status", "error", "line")


@dataclass(frozen=True, slots=True)
class Ending:
    """What is said of one row."""

    position: int
    status: int | str
    error: str


Writer = Callable[[Row, Ending], None]


def failures(client: Client, batch_id: UUID) -> Iterator[Ending]:
    """Yield how the bad rows of a batch ended, in order, memory flat."""
    path = f"/batches/{batch_id}/report?outcome=failed,invalid,cancelled"
    with client.opened("GET", path, headers={"Accept": "application/x-ndjson"}) as response:
        for text in response.iter_lines():
            item = ItemStatus.model_validate_json(text)
            yield Ending(item.position, item.status, item.body)


@contextmanager
def report_file(out: Path | None, header: Header) -> Iterator[Writer]:
    """Yield what writes one row with its reason to ``out``, in the form of the manifest; without ``out``, nowhere."""
    if out is None:
        yield lambda _row, _ending: None
        return
    # What is no UTF-8 in the manifest is written back byte for byte.
    with out.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        yield _writer(file, header)


def write_report(out: Path, source: Source, endings: Iterator[Ending]) -> int:
    """Write the rows that ``endings`` name, in the form of the manifest; return how many."""
    count = 0
    with report_file(out, source.header) as write:
        rows = enumerate(source.rows())
        for ending in endings:
            row = next(row for position, row in rows if position == ending.position)
            write(row, ending)
            count += 1
    return count


def _writer(file: TextIO, header: Header) -> Writer:
    """Return what writes one row with its reason, in the manifest's format."""
    if header.format == "ndjson":
        return lambda row, ending: _write_json(file, row, ending)
    out = csv.writer(file)
    # A report that is imported again has the three columns already: they are written anew.
    kept = [n for n, name in enumerate(header.written) if name not in _ADDED]
    out.writerow([*(header.written[n] for n in kept), *_ADDED])

    def write(row: Row, ending: Ending) -> None:
        cells = row.cells or [row.raw.decode(errors="surrogateescape").rstrip("\r\n")]
        known = [cells[n] if n < len(cells) else "" for n in kept]
        out.writerow([*known, ending.status, ending.error, row.line or "", *_surplus(cells, header.written)])

    return write


def _surplus(cells: Sequence[str], written: Sequence[str]) -> Sequence[str]:
    return cells[len(written) :]


def _write_json(file: TextIO, row: Row, ending: Ending) -> None:
    values = {"status": ending.status, "error": ending.error, "line": row.line}
    text = row.raw.decode(errors="surrogateescape").strip()
    if row.flaw is not None:
        file.write(json.dumps({"row": text.encode(errors="surrogateescape").decode(errors="replace"), **values}) + "\n")
        return
    file.write(json.dumps({**json.loads(text), **values}, ensure_ascii=False) + "\n")
