"""Which processes of the stack run now: ``pids.json``."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from worker.private_files import write_private


@dataclass
class PidsFile:
    """Keeps the file true; a part that is down at the moment is not in it."""

    path: Path
    up: int
    pids: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, pid: int) -> None:
        """The part ``name`` runs as ``pid``."""
        self.pids[name] = pid
        self._write()

    def drop(self, name: str) -> None:
        """The part ``name`` has ended."""
        self.pids.pop(name, None)
        self._write()

    def remove(self) -> None:
        """Nothing runs any more."""
        self.path.unlink(missing_ok=True)

    def _write(self) -> None:
        workers = [pid for name, pid in sorted(self.pids.items()) if name.startswith("worker")]
        others = {name: pid for name, pid in self.pids.items() if not name.startswith("worker")}
        write_private(self.path, json.dumps({"up": self.up, **others, "worker": workers}) + "\n")
