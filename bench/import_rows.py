"""Imports many rows on its own stack: rate, memory of every process, and latency of small PUTs meanwhile.

python -m bench.import_rows --rows 1000000
"""

import argparse
import csv
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from bench.rows import record
from limpet.embedded.running import running_stack

MB = 2**20
_SMALL_KEYS = 2_000_000_000  # keys of the small PUTs


def write_manifest(path: Path, rows: int) -> None:
    """Write the records 1 to ``rows`` as CSV."""
    with path.open("w", newline="") as file:
        out = csv.DictWriter(file, fieldnames=list(record(1)))
        out.writeheader()
        out.writerows(map(record, range(1, rows + 1)))


def children(pid: int) -> Iterator[int]:
    """Yield the descendants of ``pid``."""
    try:
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in map(int, found):
        yield child
        yield from children(child)


def processes(data: Path) -> dict[int, str]:
    """Return the name of every process of the stack on the folder ``data``."""
    named: dict[int, str] = {}
    for name, value in json.loads((data / "pids.json").read_text()).items():
        for pid in value if isinstance(value, list) else [value]:
            for each in (pid, *children(pid)):
                named[each] = name
    return named


def memory(pid: int, name: str, *, peak: bool = False) -> int:
    """Return resident bytes; for PostgreSQL without the shared buffers, which have no peak."""
    wanted = "RssAnon" if name == "postgres" else "VmHWM" if peak else "VmRSS"
    try:
        found = re.search(rf"{wanted}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0


def processor_seconds(pids: Iterable[int]) -> float:
    """Return the processor time of the processes in seconds, which other load on the machine hardly changes."""
    ticks = 0
    for pid in pids:
        try:
            ticks += sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]))
        except OSError:
            continue  # it has ended, and its parent counts its time
    return ticks / os.sysconf("SC_CLK_TCK")


@dataclass
class Watch:
    """Samples of one run: (seconds, rows done, processor seconds), and the largest process of each name."""

    client: httpx.Client
    data: Path
    began: float = field(default_factory=time.monotonic)
    samples: list[tuple[float, int, float]] = field(default_factory=list)
    early: dict[str, int] = field(default_factory=dict)
    peak: dict[str, int] = field(default_factory=dict)
    latencies: list[float] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def sample(self, href: str, command: int, mark: int) -> None:
        """Record progress and processes; memory up to ``mark`` finished rows is recorded apart."""
        batch = self.client.get(href).json()
        done = batch["total"] - batch["counts"].get("pending", 0)
        found = {command: "limpet import", **processes(self.data)}
        self.samples.append((time.monotonic() - self.began, done, processor_seconds(found)))
        for pid, name in found.items():
            now = memory(pid, name)
            if done <= mark:
                self.early[name] = max(self.early.get(name, 0), now)
            self.peak[name] = max(self.peak.get(name, 0), now)

    def rate(self, first: float, last: float) -> tuple[float, float]:
        """Return rows a second and milliseconds of processor time a row, between two shares of all rows."""
        total = self.samples[-1][1]
        part = [sample for sample in self.samples if first * total <= sample[1] <= last * total]
        if len(part) < 2:
            return 0.0, 0.0
        seconds, rows, busy = (after - before for before, after in zip(part[0], part[-1], strict=True))
        return rows / seconds, 1000 * busy / rows

    def send_small_puts(self) -> None:
        """Send small PUTs with pauses until the import is over."""
        while not self.over.is_set():
            # The API may just have closed the idle connection, which is no effect of the import.
            with suppress(httpx.RemoteProtocolError, httpx.ReadError):
                self.latencies.append(small_put(self.client, len(self.latencies)))
            time.sleep(0.2)


def small_put(client: httpx.Client, number: int) -> float:
    """Return the seconds of a batch of one."""
    began = time.monotonic()
    answer = client.put(
        "/case-attachments-batch", json=[{"caseAttachment_Key": _SMALL_KEYS + number % 1000, "case_Key": 1}]
    )
    assert answer.status_code == 207, answer.text
    assert answer.json()["data"][0]["status"] in (200, 201), answer.text
    return time.monotonic() - began


def run(rows: int, data: Path, variables: dict[str, str], manifest: Path) -> None:
    """Import the manifest, sample the stack meanwhile, and print the report."""
    headers = {
        "vbasoftware-database": variables["LIMPET_DATABASE"],
        "x-api-key": variables["LIMPET_API_KEY"],
        "Authorization": f"Bearer {variables['LIMPET_TOKEN']}",
    }
    with httpx.Client(base_url=variables["LIMPET_URL"], headers=headers, timeout=120, trust_env=False) as client:
        for n in range(20):
            small_put(client, n)
        idle = statistics.median(small_put(client, n) for n in range(60))
        print(f"small PUT, idle: median {1000 * idle:.0f} ms")
        command = subprocess.Popen(
            [sys.executable, "-m", "limpet", "import", str(manifest), "--json"],
            env={**os.environ, **variables},
            stdout=subprocess.PIPE,
        )
        assert command.stdout is not None
        opened = json.loads(command.stdout.readline())
        threading.Thread(target=command.stdout.read, daemon=True).start()
        watch = Watch(client, data)
        puts = threading.Thread(target=watch.send_small_puts)
        puts.start()
        while command.poll() is None:
            watch.sample(f"/batches/{opened['batch']}", command.pid, min(100_000, rows // 10))
            time.sleep(1)
        watch.over.set()
        puts.join()
        batch = client.get(f"/batches/{opened['batch']}").json()
    report(watch, batch, command.returncode, idle)


def report(watch: Watch, batch: dict[str, object], code: int, idle: float) -> None:
    """Print the report of one import."""
    seconds = watch.samples[-1][0]
    print(f"{batch['state']}, exit code {code}: {batch['counts']} in {seconds:.0f} s")
    print(f"rate in all {watch.samples[-1][1] / seconds:,.0f} rows/s")
    for what, start, end in zip(
        ("rows/s", "ms of all processors for a row"), watch.rate(0.02, 0.27), watch.rate(0.73, 0.98), strict=True
    ):
        print(f"{what}: first quarter {start:,.2f}, last quarter {end:,.2f}, {100 * (end / start - 1):+.0f} %")
    busy = statistics.median(watch.latencies)
    print(f"small PUT, meanwhile: median {1000 * busy:.0f} ms of {len(watch.latencies)}, {busy / idle:.1f} times idle")
    print("memory in MB, largest process of each: at the first 100,000 rows (or a tenth), peak, growth")
    for name, peak in sorted(watch.peak.items()):
        early = watch.early.get(name, 0)
        print(f"  {name:<14} {early / MB:6.0f} {peak / MB:6.0f} {(peak - early) / MB:+6.0f}")


def main() -> None:
    """Import the rows on a stack of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    wanted = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="limpet-bench-")))
        write_manifest(folder / "rows.csv", wanted.rows)
        variables = stack.enter_context(running_stack(folder / "data", workers=2))
        run(wanted.rows, folder / "data", variables, folder / "rows.csv")


if __name__ == "__main__":
    main()
