"""The data folder of an embedded stack: what lies where, and what of it is ours."""

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
    """Paths in the folder; :func:`claim_folder` has made those that are folders."""

    path: Path

    def __truediv__(self, name: str) -> Path:
        """Return the path of one thing in the folder."""
        return self.path / name

    @property
    def logs(self) -> Path:
        """One log for each part."""
        return self.path / "logs"

    @property
    def run(self) -> Path:
        """What may be thrown away while the stack is down."""
        return self.path / "run"

    @property
    def secrets(self) -> Path:
        """The secrets; also the sign that the folder's names are ours."""
        return self.path / "secrets.json"

    @property
    def ready(self) -> Path:
        """Exists while the stack is ready, and holds the pid of `up`."""
        return self.run / "ready"

    @property
    def pids(self) -> Path:
        """The processes that run now."""
        return self.path / "pids.json"


def create_folder(path: Path) -> None:
    """Make the folder if it is not there, for its owner only."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise StartRefusedError(f"{path} can't be the data folder: {error.strerror}.") from error


def check_names_free(home: DataFolder) -> None:
    """Look whether the folder is ours, or has none of the names that we need.

    Raises:
        RefusedError: one of the names is taken by something that is not ours.

    """
    taken = [name for name in _FOLDERS + _FILES if (home / name).is_symlink() or (home / name).exists()]
    # Looked for last, since another `up` that begins at this moment makes it first.
    if taken and not home.secrets.is_file():
        raise StartRefusedError(
            f"{home.path} holds things that 'limpet up' did not make but needs the names of: {', '.join(taken)}. "
            "They stay untouched; choose another folder with --data."
        )


def claim_folder(home: DataFolder) -> None:
    """Make our names in the folder ours; strangers' files stay as they are. Needs the lock.

    Raises:
        RefusedError: one of the names is taken by something that is not ours.

    """
    check_names_free(home)
    if not home.secrets.exists():
        # Written first: from here on, whatever bears one of our names was made by us.
        write_keyring(home.secrets, Keyring())
    for name in _FOLDERS:
        try:
            (home / name).mkdir(mode=0o700, exist_ok=True)
        except FileExistsError as error:
            raise StartRefusedError(f"{home / name} should be a folder of Limpet, but is something else.") from error
    home.pids.unlink(missing_ok=True)
    home.ready.unlink(missing_ok=True)


def allow_traversal(home: DataFolder) -> None:
    """Let other users pass through the folder, not list it; but not where strangers' files may rely on its mode."""
    if all(entry.name in {*_FOLDERS, *_FILES, lock.NAME} for entry in home.path.iterdir()):
        home.path.chmod(home.path.stat().st_mode | 0o001)


def assign_ports(home: DataFolder, names: Collection[str], reservations: Reservations) -> dict[str, int]:
    """Return a reserved port for each name, the same at each start as long as it is free."""
    file = home / "ports.json"
    kept: Mapping[str, int] = json.loads(file.read_text()) if file.exists() else {}
    assigned = reservations.assign(names, kept)
    write_private(file, json.dumps({**kept, **assigned}, indent=1) + "\n")
    return assigned
