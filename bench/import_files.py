"""Imports many files of mixed sizes on its own stack, reads a sample back, and imports them again.

python -m bench.import_files --files 20000
"""

import argparse
import csv
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psycopg

from limpet.embedded.running import running_stack
from limpet.http.client import Client

MB = 2**20
_SAMPLE_FILES = 500
_MAX_FILE_BYTES = 300 * MB
_SIZE_RANGES: Sequence[tuple[int, int]] = ((0, 1), (1, 4_000), (4_000, 64_000), (64_000, 400_000), (2 * MB, 12 * MB))
_WEIGHTS = (1, 500, 450, 48, 1)


def write_tree(folder: Path, count: int) -> int:
    """Write the files, and their manifest beside the folder; return the sum of their bytes."""
    rng = random.Random(20)
    folder.mkdir()
    lengths = [rng.randint(*rng.choices(_SIZE_RANGES, _WEIGHTS)[0]) for _ in range(count - 1)] + [_MAX_FILE_BYTES]
    with folder.with_suffix(".csv").open("w", newline="") as manifest:
        out = csv.writer(manifest)
        out.writerow(["caseAttachment_Key", "case_Key", "attachment_Path"])
        for key, length in enumerate(lengths, 1):
            path = folder / f"{key % 100:02}" / f"{key}.bin"
            path.parent.mkdir(exist_ok=True)
            with path.open("wb") as file:
                for at in range(0, length, MB):
                    file.write(rng.randbytes(min(MB, length - at)))
            out.writerow([key, key // 4, path.relative_to(folder)])
    return sum(lengths)


def run_import(variables: dict[str, str], folder: Path, *options: str) -> tuple[dict[str, int], float]:
    """Run one import; return the counts of its outcomes, and the seconds of the whole command."""
    began = time.monotonic()
    arguments = ["import", str(folder.with_suffix(".csv")), "--files", str(folder), "--json", *options]
    done = subprocess.run(
        [sys.executable, "-m", "limpet", *arguments], env={**os.environ, **variables}, capture_output=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])["counts"], time.monotonic() - began


def read_blobs(variables: dict[str, str]) -> tuple[int, int]:
    """Return the number of blobs in the database, and the newest id."""
    url = json.loads(variables["LIMPET_DATABASES"])["demo"].replace("+psycopg", "")
    with psycopg.connect(url) as database:
        row = database.execute("SELECT count(*), max(id) FROM blob").fetchone()
    assert row is not None
    return row[0], row[1]


def count_differing(variables: dict[str, str], folder: Path, count: int) -> int:
    """Read back a sample that includes the largest file; return how many contents differ."""
    keys = [*random.Random(7).sample(range(1, count), min(_SAMPLE_FILES, count - 1)), count]
    bad = 0
    with Client.from_environment(variables) as client:
        for key in keys:
            with (folder / f"{key % 100:02}" / f"{key}.bin").open("rb") as file:
                bad += client.content(key).sha256 != hashlib.file_digest(file, "sha256").hexdigest()
    print(f"{len(keys)} read back: {bad} differ")
    return bad


def main() -> None:
    """Write the tree, start a stack, import twice, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=20_000)
    count = parser.parse_args().files
    with tempfile.TemporaryDirectory(prefix="limpet-bench-") as name:
        folder = Path(name) / "files"
        size = write_tree(folder, count)
        print(f"{count:,} files, {size / MB:,.0f} MB, the largest {_MAX_FILE_BYTES / MB:.0f} MB", flush=True)
        with running_stack(Path(name) / "data") as variables:
            counts, seconds = run_import(variables, folder)
            print(f"{counts} in {seconds:.0f} s: {count / seconds:,.0f} files/s, {size / MB / seconds:,.1f} MB/s")
            bad = count_differing(variables, folder, count)
            before = read_blobs(variables)
            again, seconds = run_import(variables, folder, "--restart")
            print(f"again: {again} in {seconds:.0f} s; contents before {before}, after {read_blobs(variables)}")
            sys.exit(
                int(counts != {"created": count} or bool(bad) or "created" in again or read_blobs(variables) != before)
            )


if __name__ == "__main__":
    main()
