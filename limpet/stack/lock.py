"""The lock on a data folder: one stack at a time."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from limpet.stack.errors import RefusedError

NAME = "limpet.lock"
_SIGN = "limpet up, pid "
# A guardian needs at most 8 s and a moment to end what a killed `up` left behind.
_GUARDIAN_TIME = 15.0


@contextmanager
def held(folder: Path, say: Callable[[str], None]) -> Iterator[int]:
    """Hold the folder's lock while the block runs, and give its file descriptor.

    Processes that inherit the descriptor hold the lock as well; the guardian does, so that
    nobody starts on a folder in which the parts of a killed `up` are still running.

    Raises:
        RefusedError: another `up` holds it, or the file is not a lock of ours.

    """
    with os.fdopen(_open(folder / NAME), "r+") as file:
        _check_ours(file.read(), folder)
        _take(file.fileno(), folder, say)
        file.seek(0)
        file.truncate()
        file.write(f"{_SIGN}{os.getpid()}\n")
        file.flush()
        yield file.fileno()
        fcntl.flock(file, fcntl.LOCK_UN)


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as problem:
        raise RefusedError(f"{path} can't be used as the lock file: {problem.strerror}.") from problem


def _check_ours(text: str, folder: Path) -> None:
    if text and not text.startswith(_SIGN):
        raise RefusedError(f"{folder / NAME} is not a lock file of Limpet; choose another folder with --data.")


def _take(descriptor: int, folder: Path, say: Callable[[str], None]) -> None:
    give_up = time.monotonic() + _GUARDIAN_TIME
    while not _try(descriptor):
        holder = _holder(folder)
        if holder is None or _is_alive(holder) or time.monotonic() > give_up:
            raise RefusedError(f"{folder} is in use: another 'limpet up' (pid {holder or 'not known yet'}) runs on it.")
        if time.monotonic() > give_up - _GUARDIAN_TIME + 0.5:
            say(f"waiting for what 'limpet up' (pid {holder}) left running when it was killed")
        time.sleep(0.5)


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(folder: Path) -> int | None:
    words = (folder / NAME).read_text().split()
    return int(words[-1]) if words else None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is somebody else's
        return True
    return True
