"""Describes a process to the supervisor."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGTERM

from limpet.embedded.supervision.account import OWN, Account
from limpet.embedded.supervision.probes import Probe


@dataclass(frozen=True)
class Command:
    """A process: its program, user and folder. Its output goes to ``logs/<name>.log``."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    folder: Path
    account: Account = OWN
    orphan_signal: int = SIGTERM
    """the signal that the process gets when `up` dies"""


@dataclass(frozen=True)
class StackPart:
    """A command that the supervisor keeps running until the stack stops."""

    command: Command
    url: str = ""
    """shown on the screen; without secrets"""
    probe: Probe | None = None
    """checks whether the part serves; without a probe, running for one second is enough"""
    ports: tuple[int, ...] = ()
    stop: int = SIGTERM
    grace: float = 10.0
    """seconds from the stop signal to SIGKILL"""

    @property
    def name(self) -> str:
        """The part's name in logs, on the screen and in ``pids.json``."""
        return self.command.name
