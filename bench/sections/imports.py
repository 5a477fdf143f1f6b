"""Rows 3 and 4: the rate of `limpet import`, of rows alone and of rows with files."""

import csv
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

from bench.import_rows import write_manifest
from bench.keys import fresh
from bench.peer import Peers
from bench.report.lines import Goal, Line
from bench.sections.throughput import psycopg_rate
from bench.servers import Servers
from bench.sizes import Sizes
from limpet.importing.contents import MAX_UPLOADS
from worker.settings import Settings

MB = 2**20
_KB = 2**10
_LARGE_FILE_BYTES = 8 * MB
_CHUNK_ITEMS: int = Settings.model_fields["chunk_items"].default


def rows(servers: Servers, sizes: Sizes) -> list[Line]:
    """Row 3: an import of many rows into an empty database against psycopg with the same rows."""
    manifest = servers.data / "rows.csv"
    write_manifest(manifest, sizes.import_rows)
    ours: list[float] = []
    alone: list[float] = []
    for _ in range(sizes.rounds):
        alone.append(psycopg_rate(Peers(servers), sizes.import_rows, _CHUNK_ITEMS, 1))
        servers.empty_ours("demo")
        ours.append(sizes.import_rows / _time_import(servers, manifest))
    return [Line(3, f"import of {sizes.import_rows:,} rows: (f) psycopg alone", "rows/s", ours, alone, Goal("≥", 0.35))]


def files(servers: Servers, sizes: Sizes) -> list[Line]:
    """Row 4: an import of files, small and large, against minio-py with the same files and threads."""
    small: tuple[list[float], list[float]] = ([], [])
    large: tuple[list[float], list[float]] = ([], [])
    for _ in range(sizes.rounds):
        seconds = _time_files(servers, [random.randint(4 * _KB, 64 * _KB) for _ in range(sizes.small_files)])
        for series, each in zip(small, seconds, strict=True):
            series.append(sizes.small_files / each)
        seconds = _time_files(servers, [_LARGE_FILE_BYTES] * sizes.large_files)
        for series, each in zip(large, seconds, strict=True):
            series.append(sizes.large_files * _LARGE_FILE_BYTES / MB / each)
    return [
        Line(4, "import of files of 4 to 64 KB: (g) minio-py alone", "files/s", *small, Goal("≥", 0.70)),
        Line(4, "import of files of 8 MB: (g) minio-py alone", "MB/s", *large, Goal("≥", 0.85)),
    ]


def _time_files(servers: Servers, lengths: list[int]) -> tuple[float, float]:
    """Return the seconds of an import of new files of these lengths, and of minio-py with the same files."""
    folder = servers.data / "files"
    folder.mkdir()
    manifest = servers.data / "files.csv"
    first = fresh(len(lengths))
    with manifest.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["caseAttachment_Key", "case_Key", "attachment_Path"])
        for key, length in enumerate(lengths, first):
            (folder / f"{key}.bin").write_bytes(random.randbytes(length))
            out.writerow([key, 1, f"{key}.bin"])
    try:
        alone = time_minio(servers, folder, MAX_UPLOADS)
        return _time_import(servers, manifest, folder), alone
    finally:
        shutil.rmtree(folder)


def time_minio(servers: Servers, folder: Path, threads: int) -> float:
    """Return the seconds that minio-py takes for the files of ``folder``."""
    with Peers(servers).driver("minio_alone") as driver:
        driver.prepare(folder=str(folder), threads=threads)
        driver.go()
        return driver.end().seconds


def _time_import(servers: Servers, manifest: Path, folder: Path | None = None) -> float:
    """Return the seconds of the whole command; every item has ended when it ends."""
    where = ["--files", str(folder)] if folder else []
    began = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "limpet", "import", str(manifest), *where, "--restart", "--json"],
        env={**os.environ, **servers.variables},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return time.monotonic() - began
