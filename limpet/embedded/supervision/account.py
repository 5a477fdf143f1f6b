"""Chooses the user a process runs as: PostgreSQL refuses to run as root."""

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from limpet.embedded.errors import StartRefusedError
from limpet.embedded.supervision.launch import launch_command

_USER_CANDIDATES = ("postgres", "nobody", "daemon")


@dataclass(frozen=True)
class Account:
    """The user of a process.

    ``own``: the user of `up`. ``namespace``: root, in a user namespace that shows it as ``uid``; its files
    belong to root. ``dropped``: ``uid`` itself, which also owns the files.
    """

    kind: Literal["own", "namespace", "dropped"] = "own"
    uid: int = 0
    gid: int = 0

    def __str__(self) -> str:
        """Return the form that ``launch.py`` reads."""
        return f"{self.kind}:{self.uid}:{self.gid}"


OWN = Account()


def account_for(folder: Path, program: Path) -> Account:
    """Return the account for a server that refuses root and keeps its files in ``folder``.

    The owner of a folder from an earlier start decides, since each account can only use its own files.

    Raises:
        StartRefusedError: `up` runs as root, and neither way works on this system.

    """
    if os.geteuid() != 0:
        return OWN
    owner = folder.stat().st_uid
    if owner != 0:
        return Account("dropped", owner, pwd.getpwuid(owner).pw_gid)
    entry = _find_unprivileged_user()
    if _can_run(namespace := Account("namespace", entry.pw_uid, entry.pw_uid), program):
        return namespace
    if any(folder.iterdir()):
        raise StartRefusedError(f"{folder} was made by root in a user namespace, and this system allows none now.")
    return Account("dropped", entry.pw_uid, entry.pw_gid)


def check_access(account: Account, *paths: Path) -> None:
    """Check that a dropped account can reach ``paths``.

    Raises:
        StartRefusedError: the account can't traverse a folder above one of them.

    """
    for path in paths:
        closed = [p for p in reversed(path.resolve().parents) if not _can_traverse(p, account)]
        if closed:
            raise StartRefusedError(
                f"PostgreSQL can't run as root here (no user namespaces), and user {account.uid} can't reach {path} "
                f"because of the mode of {closed[0]}. Run 'limpet up' as an ordinary user, or move that elsewhere."
            )


def _find_unprivileged_user() -> pwd.struct_passwd:
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    for name in _USER_CANDIDATES:
        if name in known:
            return known[name]
    raise StartRefusedError(
        "PostgreSQL can't run as root, and there is no user postgres, nobody or daemon to run it as."
    )


def _can_run(account: Account, program: Path) -> bool:
    trial = launch_command((str(program), "--version"), account)
    return subprocess.run(trial, check=False, capture_output=True).returncode == 0  # noqa: S603  our own program


def _can_traverse(folder: Path, account: Account) -> bool:
    status = folder.stat()
    if status.st_uid == account.uid:
        return bool(status.st_mode & 0o100)
    return bool(status.st_mode & (0o010 if status.st_gid == account.gid else 0o001))
