"""The processes of the stack as the kernel sees them; needs Linux's /proc."""

import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_LOOK = 0.02  # seconds


@dataclass(frozen=True, slots=True)
class Process:
    """One process; ``born`` (in clock ticks since the machine's start) tells it from a later one of its number."""

    pid: int
    parent: int
    born: str

    @property
    def state(self) -> str:
        """One letter of proc(5), empty once the process has died, buried or not."""
        found = _stat(self.pid)
        return "" if found is None or found[2] != self.born or found[0] in "ZX" else found[0]

    def send(self, number: signal.Signals) -> bool:
        """Send a signal; return whether the process was there to get it."""
        if not self.state:
            return False
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:  # gone since the look
            return False
        return True

    def seen(self, state: str, seconds: float) -> bool:
        """Wait until the process is in that state, at most so long; return whether it was."""
        end = time.monotonic() + seconds
        while self.state != state:
            if time.monotonic() > end:
                return False
            time.sleep(_LOOK)
        return True


def _stat(pid: int) -> tuple[str, int, str] | None:
    """Return state, parent and birth of a process, None if there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name in brackets may hold spaces and brackets.
    fields = text.rpartition(")")[2].split()
    return fields[0], int(fields[1]), fields[19]


def process(pid: int) -> Process | None:
    """Return the process of that number, None if there is none that runs."""
    found = _stat(pid)
    return None if found is None or found[0] in "ZX" else Process(pid, found[1], found[2])


def children(parent: Process) -> list[Process]:
    """Return the processes that ``parent`` started and that run."""
    numbers = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [p for p in map(process, numbers) if p is not None and p.parent == parent.pid]


def parts(data: Path, name: str, up: int) -> list[Process]:
    """Return the processes of one part of the stack that run now: those ``pids.json`` names and ``up`` started."""
    try:
        roster: dict[str, Any] = json.loads((data / "pids.json").read_text())
    except FileNotFoundError:
        return []
    named = roster.get(name, [])
    numbers = named if isinstance(named, list) else [named]
    return [p for p in map(process, numbers) if p is not None and p.parent == up]
