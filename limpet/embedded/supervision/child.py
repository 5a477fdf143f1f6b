"""Keeps one part of the stack running."""

import asyncio
import time
from asyncio.subprocess import Process
from contextlib import suppress

from limpet.embedded.errors import NotServingError, StartError
from limpet.embedded.home.ports import is_free
from limpet.embedded.supervision.part import StackPart
from limpet.embedded.supervision.probes import Probe
from limpet.embedded.supervision.process import ProcessContext, kill_group, log_tail, reap, spawn

_MIN_PAUSE_SECONDS = 0.2
_MAX_PAUSE_SECONDS = 10.0
_STABLE_SECONDS = 30.0
_START_TIMEOUT_SECONDS = 60.0
_MAX_START_EXITS = 3
_MIN_ALIVE_SECONDS = 1.0
_REAP_TIMEOUT_SECONDS = 5.0


class Child:
    """Runs a part, restarts it when it dies, and stops it on request."""

    def __init__(self, part: StackPart, context: ProcessContext) -> None:
        """Create without starting; see :meth:`start`."""
        self.part = part
        self._context = context
        self._process: Process | None = None
        self._exits = 0
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> asyncio.Task[None]:
        """Run the part until :meth:`stop`; return the task, which fails only if the supervision itself does."""
        self._task = asyncio.create_task(self._keep_running())
        return self._task

    async def await_ready(self) -> None:
        """Return once the part serves.

        Raises:
            StartError: the part does not start; the text shows the end of its log.

        """
        deadline = time.monotonic() + _START_TIMEOUT_SECONDS
        ready_from = time.monotonic() + _MIN_ALIVE_SECONDS
        while problem := await self._find_problem(ready_from):
            if self._exits >= _MAX_START_EXITS or time.monotonic() > deadline:
                log = self._context.log(self.part.name)
                raise StartError(f"{self.part.name} does not start: {problem}\n{log_tail(log)}")
            await asyncio.sleep(0.1)

    async def stop(self, kill_now: asyncio.Event) -> None:
        """Send the stop signal; kill the part after its grace or when ``kill_now`` is set."""
        if not self._task:
            return
        self._stopping.set()
        self._signal_stop()
        killing = asyncio.create_task(kill_now.wait())
        await asyncio.wait({self._task, killing}, timeout=self.part.grace, return_when=asyncio.FIRST_COMPLETED)
        killing.cancel()
        if self._process:
            self._context.say(f"{self.part.name} has not stopped yet; killing it")
            kill_group(self._process)
        await asyncio.wait({self._task}, timeout=_REAP_TIMEOUT_SECONDS)

    async def _keep_running(self) -> None:
        """Restart the part whenever it ends; pause longer after each short run."""
        pause = _MIN_PAUSE_SECONDS
        while not self._stopping.is_set():
            began = time.monotonic()
            code = await self._run_once()
            if self._stopping.is_set():
                return
            self._exits += 1
            pause = _MIN_PAUSE_SECONDS if time.monotonic() - began >= _STABLE_SECONDS else pause
            self._context.say(f"{self.part.name} ended ({_describe_exit(code)}); starting it again in {pause:g} s")
            await self._pause(pause)
            pause = min(pause * 2, _MAX_PAUSE_SECONDS)
            await self._await_free_ports()

    async def _run_once(self) -> int:
        self._process = process = await spawn(self.part.command, self._context)
        self._context.pids_file.add(self.part.name, process.pid)
        if self._stopping.is_set():
            self._signal_stop()
        code = await reap(process, self._context)
        self._process = None
        self._context.pids_file.drop(self.part.name)
        return code

    async def _find_problem(self, ready_from: float) -> str:
        """Return why the part does not serve yet, empty if it does."""
        if not self._process:
            return "it ended at once"
        if not self.part.probe:
            return "" if time.monotonic() >= ready_from else "it has only just started"
        return await run_probe(self.part.probe)

    def _signal_stop(self) -> None:
        if self._process and self._process.returncode is None:
            self._process.send_signal(self.part.stop)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):  # the usual end of a pause
            await asyncio.wait_for(self._stopping.wait(), seconds)

    async def _await_free_ports(self) -> None:
        """Wait while another program, started during the pause, listens on the part's ports."""
        announced = False
        while not self._stopping.is_set() and (taken := [p for p in self.part.ports if not is_free(p)]):
            if not announced:
                self._context.say(f"{self.part.name} waits: another program listens on port {taken[0]}")
                announced = True
            await self._pause(1.0)


async def run_probe(probe: Probe) -> str:
    """Run a probe, which may block for some seconds; return its error, empty if it succeeds."""
    try:
        await asyncio.to_thread(probe)
    except NotServingError as error:
        return str(error).strip() or "no answer"
    return ""


def _describe_exit(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
