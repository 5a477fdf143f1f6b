"""What the supervisor is told about a process."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGTERM

from limpet.embedded.supervision.account import OWN, Account
from limpet.embedded.supervision.probes import Probe


@dataclass(frozen=True)
class Command:
    """One process: what is run, as whom, where. Its output goes to ``logs/<name>.log``."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    folder: Path
    account: Account = OWN
    orphan_signal: int = SIGTERM
    """the signal it gets when `up` is gone"""


@dataclass(frozen=True)
class StackPart:
    """A command that is kept running until the stack stops."""

    command: Command
    url: str = ""
    """shown to people; without secrets"""
    probe: Probe | None = None
    """says whether it serves; without one it is enough to be alive a moment"""
    ports: tuple[int, ...] = ()
    stop: int = SIGTERM
    grace: float = 10.0
    """seconds from the stop signal to SIGKILL"""

    @property
    def name(self) -> str:
        """The part's name in logs, on the screen and in ``pids.json``."""
        return self.command.name
