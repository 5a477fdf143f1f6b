"""The processes of the stack as the kernel sees them; needs Linux's /proc."""

import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Process:
    """One process; ``started`` (clock ticks since boot) tells it from a later process with the same pid."""

    pid: int
    parent: int
    started: str

    @property
    def state(self) -> str:
        """One letter of proc(5), empty once the process has died, even as a zombie."""
        found = _stat(self.pid)
        return "" if found is None or found[2] != self.started or found[0] in "ZX" else found[0]

    def send(self, number: signal.Signals) -> bool:
        """Send a signal; return whether the process was alive to get it."""
        if not self.state:
            return False
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:  # it has ended since the check
            return False
        return True

    def await_state(self, state: str, seconds: float) -> bool:
        """Wait at most ``seconds`` for the state; return whether the process reached it."""
        end = time.monotonic() + seconds
        while self.state != state:
            if time.monotonic() > end:
                return False
            time.sleep(_POLL_SECONDS)
        return True


def _stat(pid: int) -> tuple[str, int, str] | None:
    """Return state, parent and start time of a process, None if there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name in brackets may hold spaces and brackets.
    fields = text.rpartition(")")[2].split()
    return fields[0], int(fields[1]), fields[19]


def process(pid: int) -> Process | None:
    """Return the running process with this pid, None if there is none."""
    found = _stat(pid)
    return None if found is None or found[0] in "ZX" else Process(pid, found[1], found[2])


def children(parent: Process) -> list[Process]:
    """Return the running child processes of ``parent``."""
    numbers = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [p for p in map(process, numbers) if p is not None and p.parent == parent.pid]


def parts(data: Path, name: str, up: int) -> list[Process]:
    """Return the running processes of a part: those that ``pids.json`` names and ``up`` started."""
    try:
        roster: dict[str, Any] = json.loads((data / "pids.json").read_text())
    except FileNotFoundError:
        return []
    named = roster.get(name, [])
    numbers = named if isinstance(named, list) else [named]
    return [p for p in map(process, numbers) if p is not None and p.parent == up]
