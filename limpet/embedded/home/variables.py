"""Private files of environment variables, one ``NAME=value`` a line, quoted for a shell."""

import shlex
from collections.abc import Mapping
from pathlib import Path

from worker.private_files import write_private


def write_environment(path: Path, variables: Mapping[str, str]) -> None:
    """Write ``variables`` so that ``set -a; source FILE`` takes them into a shell's environment."""
    write_private(path, "".join(f"{name}={shlex.quote(value)}\n" for name, value in variables.items()))


def read_environment(path: Path) -> dict[str, str]:
    """Return what :func:`write_environment` wrote."""
    return dict(word.split("=", 1) for word in shlex.split(path.read_text()))
