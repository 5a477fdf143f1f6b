"""Files that only their owner may read, replaced as a whole."""

import os
import shlex
import tempfile
from collections.abc import Mapping
from pathlib import Path


def write_private(path: Path, text: str) -> None:
    """Put ``text`` at ``path``, mode 0600: a reader sees the old file or the new one, never a half."""
    descriptor, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(beside).replace(path)
    except BaseException:
        Path(beside).unlink()
        raise


def write_environment(path: Path, variables: Mapping[str, str]) -> None:
    """Write ``variables`` so that ``set -a; source FILE`` takes them into a shell's environment."""
    write_private(path, "".join(f"{name}={shlex.quote(value)}\n" for name, value in variables.items()))


def read_environment(path: Path) -> dict[str, str]:
    """Return what :func:`write_environment` wrote."""
    return dict(word.split("=", 1) for word in shlex.split(path.read_text()))
