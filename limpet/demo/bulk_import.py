"""The demo's import: `limpet import` with a manifest of some thousand rows and a tree of scans."""

import csv
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from limpet.demo.expectations import expect, tell
from limpet.terminal.exit_codes import SOME_FAILED

ROWS = 3000
_SCAN_EVERY_ROWS = 10  # every tenth row has a scan
_FIRST_KEY = 800_001
_COLUMNS = ("caseAttachment_Key", "case_Key", "attachment_File", "attachment_Path", "update_Date", "comment")
_MISSING_SCAN_ROW, _UNDATED_ROW = 1200, 2400  # invalid rows, as old archives have them


def import_archive(variables: Mapping[str, str], folder: Path) -> None:
    """Write an archive below ``folder``, import it, and show its invalid rows with the reasons.

    Raises:
        UnexpectedError: a result differs from the expected one.

    """
    manifest, scans, failed = folder / "archive.csv", folder / "scans", folder / "failed.csv"
    _write(manifest, scans)
    tell("limpet import archive.csv --files scans --report failed.csv")
    done = subprocess.run(  # noqa: S603  our own program; its progress bar goes to standard error
        [sys.executable, "-m", "limpet", "import", manifest, "--files", scans, "--report", failed],
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    for line in done.stdout.splitlines():
        tell(line.replace(f"{folder}/", ""))
    expect("the exit code of an import with bad rows", done.returncode, SOME_FAILED)
    with failed.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        tell(f"line {row['line']}: {row['status']}, {row['error']}")
    wanted = [str(_FIRST_KEY + number) for number in (_MISSING_SCAN_ROW, _UNDATED_ROW)]
    expect("the rows that failed", [row["caseAttachment_Key"] for row in rows], wanted)
    expect("whether all others were created", f"{ROWS - len(rows):,} created" in done.stdout, wanted=True)


def _write(manifest: Path, scans: Path) -> None:
    scans.mkdir(parents=True)
    with manifest.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(_COLUMNS)
        out.writerows(_rows(scans))


def _rows(scans: Path) -> Iterator[tuple[object, ...]]:
    for number in range(ROWS):
        name = f"claim-{number:05}.txt"
        scan = name if number % _SCAN_EVERY_ROWS == 0 else ""
        if scan and number != _MISSING_SCAN_ROW:
            (scans / scan).write_text(f"Claim {number}, page 1.\nSigned and filed.\n")
        date = "last May" if number == _UNDATED_ROW else f"2019-{1 + number % 12:02}-15T09:30:00Z"
        yield _FIRST_KEY + number, 5000 + number // 4, name, scan, date, f"box {number // 100}"
