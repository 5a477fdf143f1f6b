"""Runs a stack in the background, for the demo, tests, bench and chaos."""

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from limpet.embedded.errors import StartError
from limpet.embedded.home.data_folder import DataFolder
from limpet.embedded.home.variables import read_environment
from limpet.embedded.supervision.launch import launch_command

_START_TIMEOUT_SECONDS = 90.0
_STOP_TIMEOUT_SECONDS = 30.0
_TAIL_LINES = 40


@contextmanager
def running_stack(data: Path, port: int | None = None, workers: int = 2) -> Iterator[dict[str, str]]:
    """Run ``limpet up`` on the folder ``data`` while the block runs.

    Yields the variables of ``client.env`` and ``server.env``, and the supervisor's process id as ``pid``.
    `up` writes its messages to ``logs/up.log``. The stack also stops when the calling thread ends.

    Raises:
        StartError: the stack was not ready in 90 s; the text shows the last lines of its output.

    """
    home = DataFolder(data.resolve())
    arguments = ["--data", str(home.path), "--workers", str(workers), *(["--port", str(port)] if port else [])]
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(  # noqa: S603  our own program
            launch_command([sys.executable, "-P", "-m", "limpet", "up", *arguments]),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # the caller receives a terminal's Ctrl-C, and _stop passes it on
        )
        try:
            if not _is_ready(process, home):
                output.seek(0)
                raise StartError(f"limpet up on {home.path} was not ready:\n{_tail(output.read())}")
            yield _variables(home, process.pid)
        finally:
            _stop(process)


def _is_ready(process: subprocess.Popen[bytes], home: DataFolder) -> bool:
    deadline = time.monotonic() + _START_TIMEOUT_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        # A killed stack leaves a file with another pid.
        if home.ready.exists() and home.ready.read_text() == f"{process.pid}\n":
            return True
        time.sleep(0.1)
    return False


def _variables(home: DataFolder, pid: int) -> dict[str, str]:
    return {**read_environment(home / "server.env"), **read_environment(home / "client.env"), "pid": str(pid)}


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.wait(_STOP_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()  # its guardian ends the other processes
        process.wait()


def _tail(output: bytes) -> str:
    return "\n".join(output.decode(errors="replace").splitlines()[-_TAIL_LINES:])
