"""The processes that run, as Linux tells of them, and those that a data folder names."""

import json
from collections.abc import Iterator
from pathlib import Path


def pids(folder: Path) -> dict[str, list[int]]:
    """What ``pids.json`` says, each name with a list."""
    file = folder / "pids.json"
    known = json.loads(file.read_text()) if file.exists() else {}
    return {name: value if isinstance(value, list) else [value] for name, value in known.items()}


def running() -> set[tuple[int, int]]:
    """Every process that runs, with the time it began: a number alone may be used again."""
    return {(pid, began) for pid, _, began in processes()}


def descendants(pid: int) -> list[tuple[int, int]]:
    """The children of ``pid``, their children and so on."""
    everybody = list(processes())
    found = {pid}
    while more := {child for child, above, _ in everybody if above in found} - found:
        found |= more
    return [(child, began) for child, _, began in everybody if child in found - {pid}]


def children(pid: int) -> set[int]:
    return {child for child, above, _ in processes() if above == pid}


def recorded(folder: Path) -> set[int]:
    """The processes that ``pids.json`` names, without `up` itself."""
    return {pid for name, known in pids(folder).items() if name != "up" for pid in known}


def processes() -> Iterator[tuple[int, int, int]]:
    """Each living process: its number, its parent's, and when it began."""
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = file.read_text(errors="replace").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):  # it ended while we were looking
            continue
        if fields[0] not in "ZX":
            yield int(file.parent.name), int(fields[1]), int(fields[19])
