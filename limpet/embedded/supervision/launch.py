"""Starts every process of the stack; run as ``python -I -S launch.py``.

Changes the user, asks the kernel for a signal when the parent dies, and then executes the given
program. It is a program of its own because code between fork and exec is not safe in a process with
threads. Standard library only: it runs without site-packages.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

_CLONE_NEWUSER = 0x10000000
_PR_SET_PDEATHSIG = 1


def launch_command(
    argv: Sequence[str], account: object = "own:0:0", orphan_signal: int = signal.SIGTERM
) -> tuple[str, ...]:
    """Return the command that runs ``argv`` under ``account`` and gets ``orphan_signal`` when this process dies."""
    return (sys.executable, "-I", "-S", __file__, str(os.getpid()), str(int(orphan_signal)), str(account), *argv)


def _main() -> None:
    parent, orphan_signal, account, *argv = sys.argv[1:]
    kind, uid, gid = account.split(":")
    if kind == "namespace":
        _enter_namespace(int(uid), int(gid))
    elif kind == "dropped":
        os.setgroups([])
        os.setgid(int(gid))
        os.setuid(int(uid))
    _set_parent_death_signal(int(parent), int(orphan_signal))
    os.execv(argv[0], argv)  # noqa: S606  the whole purpose


def _enter_namespace(uid: int, gid: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWUSER) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"no user namespace: {os.strerror(error)}")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/gid_map").write_text(f"{gid} 0 1")
    Path("/proc/self/uid_map").write_text(f"{uid} 0 1")


def _set_parent_death_signal(parent: int, orphan_signal: int) -> None:
    """Ask the kernel for a signal at the parent's death; a later change of user would cancel it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, orphan_signal)
    if os.getppid() != parent:  # the parent died before the call
        sys.exit("limpet: the process that started this one is gone")


if __name__ == "__main__":
    _main()
