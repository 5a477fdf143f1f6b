"""Ends the processes of a killed `up`; run as ``python -I -S guardian.py FILE...``.

Lines of standard input add and remove process groups: ``+ GROUP SIGNAL`` and ``- GROUP``. The input
ends when `up` does. Then each remaining group gets its signal and, 8 s later, SIGKILL; at last the
files are removed. The kernel's PDEATHSIG is not enough: it does not reach grandchildren, macOS
lacks it, and a server may ignore a plain signal.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

_GRACE_SECONDS = 8.0
_KILL_WAIT_SECONDS = 2.0


def _main() -> None:
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    groups = _read_groups(sys.stdin)
    for group, number in groups.items():
        # Signal the leader only: a Celery worker ends its children itself.
        _send(os.kill, group, number)
    _wait_for(groups, _GRACE_SECONDS)
    for group in groups:
        _send(os.killpg, group, signal.SIGKILL)
    _wait_for(groups, _KILL_WAIT_SECONDS)
    for name in sys.argv[1:]:
        Path(name).unlink(missing_ok=True)


def _read_groups(lines: Iterable[str]) -> dict[int, int]:
    """Return the groups that remain when the lines end, with their signals."""
    groups: dict[int, int] = {}
    for line in lines:
        match line.split():
            case ["+", group, number]:
                groups[int(group)] = int(number)
            case ["-", group]:
                groups.pop(int(group), None)
    return groups


def _send(kill: Callable[[int, int], None], target: int, number: int) -> None:
    with suppress(ProcessLookupError):  # it has ended
        kill(target, number)


def _wait_for(groups: Iterable[int], seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and any(_is_running(group) for group in groups):
        time.sleep(0.1)


def _is_running(group: int) -> bool:
    """Return whether a process of the group runs; with /proc, zombies don't count."""
    if Path("/proc/self/stat").exists():
        return group in _running_groups()
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _running_groups() -> Iterator[int]:
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):  # it ended meanwhile
            # The name in brackets may hold spaces and brackets; state, parent and group follow the last one.
            state, _, group, *_ = file.read_text(errors="replace").rpartition(")")[2].split()
            if state not in "ZX":
                yield int(group)


if __name__ == "__main__":
    _main()
