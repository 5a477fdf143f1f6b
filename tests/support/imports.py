"""What the tests of imports share: manifests, files, the command, and how an import stands."""

import csv
import json
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import httpx

SIZES = (0, 1, 100, 5_000, 60_000)


def write_csv(path: Path, header: Sequence[str], cells: Sequence[Sequence[object]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *cells])
    return path


def write_files(folder: Path, keys: Sequence[int], seed: int) -> Path:
    """A file for each key, of mixed sizes, and a manifest beside the folder that names them."""
    dice = random.Random(seed)
    folder.mkdir()
    for key in keys:
        (folder / f"{key}.bin").write_bytes(dice.randbytes(dice.choice(SIZES)))
    cells = [[key, 1, f"{key}.bin"] for key in keys]
    return write_csv(folder.with_suffix(".csv"), ["caseAttachment_Key", "case_Key", "attachment_Path"], cells)


@dataclass
class Command:
    """The command ``limpet``, against one stack."""

    stack: dict[str, str]
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(
        self, *arguments: object, database: str = "demo", stdin: IO[bytes] | None = None
    ) -> subprocess.Popen[str]:
        client = {n: self.stack[n] for n in ("LIMPET_URL", "LIMPET_API_KEY", "LIMPET_TOKEN")}
        process = subprocess.Popen(
            [sys.executable, "-m", "limpet", *map(str, arguments)],
            env={**os.environ, **client, "LIMPET_DATABASE": database},
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        return process

    def run(self, *arguments: object, code: int = 0, database: str = "demo") -> str:
        process = self.start(*arguments, database=database)
        out, err = process.communicate(timeout=240)
        assert process.returncode == code, f"exit code {process.returncode}\n{out}\n{err}"
        return err + out

    def end(self, *arguments: object, code: int = 0, database: str = "demo") -> dict[str, Any]:
        """The last of the JSON lines."""
        lines = self.run(*arguments, "--json", code=code, database=database).splitlines()
        found: dict[str, Any] = json.loads(lines[-1])
        return found


def named(client: httpx.Client, name: str, **wanted: Any) -> dict[str, Any]:
    answer = client.post("/imports", json={"name": name, **wanted})
    assert answer.status_code in (200, 201), answer.text
    found: dict[str, Any] = answer.json()
    return found


def part(items: Sequence[dict[str, Any]], first_line: int = 2) -> bytes:
    return b"".join(json.dumps({"line": n, "item": item}).encode() + b"\n" for n, item in enumerate(items, first_line))


def append(client: httpx.Client, href: str, first: int, items: Sequence[dict[str, Any]]) -> httpx.Response:
    return client.put(f"{href}/rows?from={first}", content=part(items, first + 2))


def ended(client: httpx.Client, opened: dict[str, Any]) -> dict[str, Any]:
    """The batch of an import at its end."""
    for _ in range(20):
        batch: dict[str, Any] = client.get(opened["batch"], headers={"Prefer": "wait=10"}).json()
        if batch["state"] in ("finished", "cancelled"):
            return batch
    raise AssertionError(batch)
