"""Starts processes and ends their process groups, so none is left behind."""

import asyncio
import os
import signal
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from limpet.embedded.errors import StartError
from limpet.embedded.supervision.guardian_process import GuardianProcess
from limpet.embedded.supervision.launch import launch_command
from limpet.embedded.supervision.part import Command
from limpet.embedded.supervision.pids_file import PidsFile

_MAX_LOG_BYTES = 10 * 2**20
_TAIL_LINES = 15
_START_MARK = "--- limpet up starts this,"


@dataclass(frozen=True)
class ProcessContext:
    """What the processes of one stack share."""

    logs: Path
    guardian: GuardianProcess
    pids_file: PidsFile
    say: Callable[[str], None]

    def log(self, name: str) -> Path:
        """Return the log file of the process ``name``."""
        return self.logs / f"{name}.log"


async def spawn(command: Command, context: ProcessContext) -> Process:
    """Start ``command`` as leader of a new process group, and register the group with the guardian."""
    log = context.log(command.name)
    _rotate(log)
    with log.open("ab") as output:
        output.write(f"{_START_MARK} {datetime.now().astimezone().isoformat(timespec='seconds')}\n".encode())
        output.flush()
        process = await asyncio.create_subprocess_exec(
            *launch_command(command.argv, command.account, command.orphan_signal),
            env={**_python_environment(), **command.environment},
            cwd=command.folder,
            stdin=DEVNULL,
            stdout=output,
            stderr=STDOUT,
            start_new_session=True,
        )
    context.guardian.add(process.pid, command.orphan_signal)
    return process


async def reap(process: Process, context: ProcessContext) -> int:
    """Wait for the process, kill the rest of its group, and return its exit code."""
    code = await process.wait()
    kill_group(process)
    context.guardian.drop(process.pid)
    return code


def kill_group(process: Process) -> None:
    """Kill the process and its children at once."""
    with suppress(ProcessLookupError):  # the usual case: none is left
        os.killpg(process.pid, signal.SIGKILL)


async def run_to_end(command: Command, context: ProcessContext) -> None:
    """Run ``command`` once.

    Raises:
        StartError: it failed; the text shows the end of its output.

    """
    process = await spawn(command, context)
    try:
        code = await reap(process, context)
    except asyncio.CancelledError:
        kill_group(process)
        await reap(process, context)
        raise
    if code:
        raise StartError(f"{command.name} failed (exit code {code}).\n{log_tail(context.log(command.name))}")


def log_tail(path: Path) -> str:
    """Return the log's path and the last lines of the process's latest run."""
    latest = path.read_text(errors="replace").rpartition(_START_MARK)[2]
    return "\n".join([f"The end of {path}:", *(f"  {line}" for line in latest.splitlines()[1:][-_TAIL_LINES:])])


def _python_environment() -> dict[str, str]:
    """Return the variables that some Python installations need to run `launch.py`."""
    return {name: value for name, value in os.environ.items() if name == "LD_LIBRARY_PATH"}


def _rotate(log: Path) -> None:
    if log.exists() and log.stat().st_size > _MAX_LOG_BYTES:
        log.replace(log.with_name(log.name + ".1"))
