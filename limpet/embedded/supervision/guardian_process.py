"""Runs the guardian, which reads process groups from a pipe and acts when the pipe closes."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from pathlib import Path

from limpet.embedded.supervision import guardian


class GuardianProcess:
    """Sends the guardian the process groups to end if `up` dies, and restarts a guardian that dies."""

    def __init__(self, lock: int, files: Sequence[Path]) -> None:
        """Share ``lock``, the data folder's, with the guardian, which removes ``files`` at the end."""
        self._lock = lock
        self._files = files
        self._groups: dict[int, int] = {}
        self._closed = False
        self._process: Process | None = None
        self._restarting: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Start the guardian."""
        await self._start()
        self._restarting = asyncio.create_task(self._restart_when_dead())

    def add(self, group: int, signal: int) -> None:
        """Add a process group; ``signal`` ends its leader."""
        self._groups[group] = signal
        self._write(f"+ {group} {signal}\n")

    def drop(self, group: int) -> None:
        """Remove a process group that has ended."""
        self._groups.pop(group, None)
        self._write(f"- {group}\n")

    async def close(self) -> None:
        """Let the guardian end the remaining groups, and wait for it."""
        self._closed = True
        if self._process and self._process.stdin:
            self._process.stdin.close()
        if self._restarting:
            await self._restarting

    async def _start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", guardian.__file__, *map(str, self._files)),
            stdin=PIPE,
            start_new_session=True,
            pass_fds=(self._lock,),
            cwd=os.sep,
        )
        for group, signal in self._groups.items():
            self._write(f"+ {group} {signal}\n")

    async def _restart_when_dead(self) -> None:
        while self._process:
            await self._process.wait()
            if self._closed:
                return
            await self._start()

    def _write(self, line: str) -> None:
        if self._process and self._process.stdin and not self._process.stdin.is_closing():
            self._process.stdin.write(line.encode())
