"""Locks a data folder, so that one stack at a time uses it.

One file carries two locks. `up` shares the `flock` with its guardian: while it is held, processes of a
stack may run. The record lock belongs to `up` alone: while it is held, that `up` lives. The kernel
releases both, so neither depends on a pid.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from limpet.embedded.errors import StartRefusedError

NAME = "limpet.lock"
_PREFIX = "limpet up, pid "
# A guardian needs little more than 10 s to end the processes of a killed `up`.
_GUARDIAN_SECONDS = 15.0


@contextmanager
def hold(folder: Path, say: Callable[[str], None]) -> Iterator[int]:
    """Hold the folder's lock while the block runs; yield the file descriptor that the guardian inherits.

    If only the guardian of a killed `up` holds the lock, wait until it has cleaned up.

    Raises:
        StartRefusedError: another `up` holds the lock, or the file is not a lock of ours.

    """
    with os.fdopen(_open(folder / NAME), "r+") as file:
        _acquire(file, folder, say)
        file.seek(0)
        file.truncate()
        file.write(f"{_PREFIX}{os.getpid()}\n")
        file.flush()
        yield file.fileno()
        fcntl.flock(file, fcntl.LOCK_UN)


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise StartRefusedError(f"{path} can't be used as the lock file: {error.strerror}.") from error


def _acquire(file: TextIO, folder: Path, say: Callable[[str], None]) -> None:
    holder = _read_holder(file, folder)
    deadline = time.monotonic() + _GUARDIAN_SECONDS
    announced = False
    while not _try_lock(fcntl.flock, file):
        if not _try_lock(fcntl.lockf, file) or time.monotonic() > deadline:
            raise StartRefusedError(f"{folder} is in use: another 'limpet up' (pid {holder}) runs on it.")
        fcntl.lockf(file, fcntl.LOCK_UN)  # it only showed that the other `up` is dead
        if not announced:
            say(f"waiting for the processes that 'limpet up' (pid {holder}) left when it was killed")
            announced = True
        time.sleep(0.2)
    fcntl.lockf(file, fcntl.LOCK_EX)


def _try_lock(lock: Callable[[TextIO, int], None], file: TextIO) -> bool:
    try:
        lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # POSIX allows both for a record lock that another holds
        return False
    return True


def _read_holder(file: TextIO, folder: Path) -> str:
    text = file.read()
    if text and not text.startswith(_PREFIX):
        raise StartRefusedError(f"{folder / NAME} is not a lock file of Limpet; choose another folder with --data.")
    return text.removeprefix(_PREFIX).strip() or "not known yet"
