"""Records the running processes of the stack in ``pids.json``."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from worker.private_files import write_private


@dataclass
class PidsFile:
    """The pids by part; a part that is down is not in the file."""

    path: Path
    up: int
    pids: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, pid: int) -> None:
        """Add the part ``name``, which runs as ``pid``."""
        self.pids[name] = pid
        self._write()

    def drop(self, name: str) -> None:
        """Remove the part ``name``, which has ended."""
        self.pids.pop(name, None)
        self._write()

    def remove(self) -> None:
        """Delete the file: no process runs."""
        self.path.unlink(missing_ok=True)

    def _write(self) -> None:
        workers = [pid for name, pid in sorted(self.pids.items()) if name.startswith("worker")]
        others = {name: pid for name, pid in self.pids.items() if not name.startswith("worker")}
        write_private(self.path, json.dumps({"up": self.up, **others, "worker": workers}) + "\n")
