"""The data folder of an embedded stack: its paths, and which of them belong to Limpet."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from limpet.embedded.errors import StartRefusedError
from limpet.embedded.home import lock
from limpet.embedded.home.keyring import Keyring, write_keyring
from limpet.embedded.home.ports import Reservations
from worker.private_files import write_private

_FOLDERS = ("postgres", "valkey", "s3", "logs", "run")
_FILES = ("secrets.json", "ports.json", "credentials.json", "client.env", "server.env", "pids.json")


@dataclass(frozen=True)
class DataFolder:
    """Paths in the folder; :func:`claim_folder` creates the folders among them."""

    path: Path

    def __truediv__(self, name: str) -> Path:
        """Return the path of ``name`` in the folder."""
        return self.path / name

    @property
    def logs(self) -> Path:
        """One log for each part."""
        return self.path / "logs"

    @property
    def run(self) -> Path:
        """Files that may be deleted while the stack is down."""
        return self.path / "run"

    @property
    def secrets(self) -> Path:
        """The secrets; this file marks the folder as ours."""
        return self.path / "secrets.json"

    @property
    def ready(self) -> Path:
        """Exists while the stack is ready, and holds the pid of `up`."""
        return self.run / "ready"

    @property
    def pids(self) -> Path:
        """The pids of the running processes."""
        return self.path / "pids.json"


def create_folder(path: Path) -> None:
    """Create the folder if it is missing, with mode 0700."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise StartRefusedError(f"{path} can't be the data folder: {error.strerror}.") from error


def check_names_free(home: DataFolder) -> None:
    """Check that the folder is ours, or has none of the names that we need.

    Raises:
        StartRefusedError: a file or folder that is not ours has one of the names.

    """
    taken = [name for name in _FOLDERS + _FILES if (home / name).is_symlink() or (home / name).exists()]
    # Checked last: another `up` that starts now creates this file first.
    if taken and not home.secrets.is_file():
        raise StartRefusedError(
            f"{home.path} holds things that 'limpet up' did not make but needs the names of: {', '.join(taken)}. "
            "They stay untouched; choose another folder with --data."
        )


def claim_folder(home: DataFolder) -> None:
    """Create our files and folders, and leave others untouched. The caller holds the lock.

    Raises:
        StartRefusedError: a file or folder that is not ours has one of the names.

    """
    check_names_free(home)
    if not home.secrets.exists():
        # Written first: from here on, every file with one of our names is ours.
        write_keyring(home.secrets, Keyring())
    for name in _FOLDERS:
        try:
            (home / name).mkdir(mode=0o700, exist_ok=True)
        except FileExistsError as error:
            raise StartRefusedError(f"{home / name} should be a folder of Limpet, but is something else.") from error
    home.pids.unlink(missing_ok=True)
    home.ready.unlink(missing_ok=True)


def allow_traversal(home: DataFolder) -> None:
    """Let other users traverse, not list, the folder, unless it holds files of others that may rely on its mode."""
    if all(entry.name in {*_FOLDERS, *_FILES, lock.NAME} for entry in home.path.iterdir()):
        home.path.chmod(home.path.stat().st_mode | 0o001)


def assign_ports(home: DataFolder, names: Collection[str], reservations: Reservations) -> dict[str, int]:
    """Return a reserved port for each name: the one of the last start while it is free."""
    file = home / "ports.json"
    kept: Mapping[str, int] = json.loads(file.read_text()) if file.exists() else {}
    assigned = reservations.assign(names, kept)
    write_private(file, json.dumps({**kept, **assigned}, indent=1) + "\n")
    return assigned
