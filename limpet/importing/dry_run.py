"""``limpet import --dry-run``: count what an import would do with the rows, and change nothing."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from limpet.http.imports import ImportCalls
from limpet.importing.failed_rows import Ending, Writer, report_file
from limpet.importing.sending import PART_LIMITS, bodies, line_of
from limpet.importing.source import Source
from schemas.imports import Checked, ImportKind, OnConflict
from schemas.manifest.local_files import MAX_FILE_BYTES, TOO_LARGE, InvalidFileError, below
from schemas.manifest.parts import RowPart, file_path, parts, row_members
from schemas.manifest.reader import Row


@dataclass
class DryRunCounts:
    """The counts. ``keys``, four bytes each, are those of records that would be created."""

    updated: int = 0
    skipped: int = 0
    refused: int = 0
    generated: int = 0
    valid: int = 0
    cleared: int = 0
    keys: "array[int]" = field(default_factory=lambda: array("i"))

    def add(self, answer: Checked) -> None:
        """Add the server's verdict on some rows."""
        self.updated += answer.updated
        self.skipped += answer.skipped
        self.valid += answer.valid
        self.refused += len(answer.refused)
        self.keys.extend(key for key in answer.created if key)
        self.generated += answer.created.count(0)

    def totals(self) -> dict[str, int]:
        """Return how many rows would be created, updated, skipped and refused, and how many cells clear their field."""
        if self.valid:
            return {"valid": self.valid, "refused": self.refused}
        # A key that is new to several parts is created by the first of its rows.
        new = len(set(self.keys))
        again = len(self.keys) - new
        return {
            "created": new + self.generated,
            "updated": self.updated + again,
            "skipped": self.skipped,
            "refused": self.refused,
        } | ({"cleared": self.cleared} if self.cleared else {})


@dataclass(frozen=True, slots=True)
class DryRun:
    """A dry run over ``source``; ``folder`` has the files and is a resolved path."""

    calls: ImportCalls
    source: Source
    folder: Path | None
    on_conflict: OnConflict
    kind: ImportKind

    def run(self, out: Path | None) -> dict[str, int]:
        """Check all rows, write the refused ones to ``out``, and return the counts."""
        counts = DryRunCounts()
        with report_file(out, self.source.header) as write:
            for part in parts(self.source.rows(), 0, PART_LIMITS):
                self._check(part, counts, write)
        return counts.totals()

    def _check(self, part: RowPart, counts: DryRunCounts, write: Writer) -> None:
        endings: dict[int, Ending] = {}
        counts.cleared += sum(
            row.fields.get(name, "") is None for row in part.rows for name in self.source.header.cleared
        )
        for body in bodies(self._encode(row) for row in part.rows):
            answer = self.calls.check(b"".join(body), self.on_conflict, self.kind)
            counts.add(answer)
            endings |= {r.line: Ending(0, r.status, r.error) for r in answer.refused}
        _write_invalid(part.rows, endings, write)

    def _encode(self, row: Row) -> bytes:
        path = file_path(row, self.kind) if self.folder else None
        return line_of(row_members(row, self.kind, path, self._invalid_file(path) if path else None))

    def _invalid_file(self, path: str) -> InvalidFileError | None:
        assert self.folder is not None
        try:
            size = below(self.folder, path).stat().st_size
        except InvalidFileError as invalid:
            return invalid
        return InvalidFileError(TOO_LARGE) if size > MAX_FILE_BYTES else None


def _write_invalid(rows: Sequence[Row], endings: dict[int, Ending], write: Writer) -> None:
    for row in rows:
        if row.line in endings:
            write(row, endings[row.line])
