"""One part of the stack, kept running."""

import asyncio
import time
from asyncio.subprocess import Process
from contextlib import suppress

from limpet.embedded.errors import NotServingError, StartError
from limpet.embedded.home.ports import is_free
from limpet.embedded.supervision.part import StackPart
from limpet.embedded.supervision.probes import Probe
from limpet.embedded.supervision.process import Nest, kill_group, log_tail, reap, spawn

_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 10.0
_LONG_LIFE = 30.0
_START_DEADLINE = 60.0
_START_DEATHS = 3
_SETTLE = 1.0
_BURIAL = 5.0


class Child:
    """Runs a part, starts it again whenever it dies, and stops it when told."""

    def __init__(self, part: StackPart, nest: Nest) -> None:
        """Does not start anything yet: see :meth:`start`."""
        self.part = part
        self._nest = nest
        self._process: Process | None = None
        self._deaths = 0
        self._ending = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    def start(self) -> asyncio.Task[None]:
        """Run the part until :meth:`end`; the task ends then, or when the supervision itself breaks."""
        self._keeper = asyncio.create_task(self._keep())
        return self._keeper

    async def ready(self) -> None:
        """Return once the part serves.

        Raises:
            StartError: it does not come up; the text shows the end of its log.

        """
        deadline = time.monotonic() + _START_DEADLINE
        settled = time.monotonic() + _SETTLE
        while problem := await self._problem(settled):
            if self._deaths >= _START_DEATHS or time.monotonic() > deadline:
                log = self._nest.log(self.part.name)
                raise StartError(f"{self.part.name} does not start: {problem}\n{log_tail(log)}")
            await asyncio.sleep(0.1)

    async def end(self, hurry: asyncio.Event) -> None:
        """Stop the part: ask it, and kill it when its grace is over or ``hurry`` is set."""
        if not self._keeper:
            return
        self._ending.set()
        self._signal_stop()
        hurried = asyncio.create_task(hurry.wait())
        await asyncio.wait({self._keeper, hurried}, timeout=self.part.grace, return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        if self._process:
            self._nest.say(f"{self.part.name} has not stopped yet; killing it")
            kill_group(self._process)
        await asyncio.wait({self._keeper}, timeout=_BURIAL)

    async def _keep(self) -> None:
        """Run the part again and again; pause longer after each quick death."""
        pause = _FIRST_PAUSE
        while not self._ending.is_set():
            born = time.monotonic()
            code = await self._live()
            if self._ending.is_set():
                return
            self._deaths += 1
            pause = _FIRST_PAUSE if time.monotonic() - born >= _LONG_LIFE else pause
            self._nest.say(f"{self.part.name} ended ({_cause(code)}); starting it again in {pause:g} s")
            await self._pause(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
            await self._own_ports()

    async def _live(self) -> int:
        self._process = process = await spawn(self.part.command, self._nest)
        self._nest.roster.add(self.part.name, process.pid)
        if self._ending.is_set():
            self._signal_stop()
        code = await reap(process, self._nest)
        self._process = None
        self._nest.roster.drop(self.part.name)
        return code

    async def _problem(self, settled: float) -> str:
        """Return why the part does not serve at this moment, or nothing."""
        if not self._process:
            return "it ended at once"
        if not self.part.probe:
            return "" if time.monotonic() >= settled else "it has only just started"
        return await problem_of(self.part.probe)

    def _signal_stop(self) -> None:
        if self._process and self._process.returncode is None:
            self._process.send_signal(self.part.stop)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):  # the usual end of a pause
            await asyncio.wait_for(self._ending.wait(), seconds)

    async def _own_ports(self) -> None:
        """Wait until nobody else listens on the part's ports: a stranger may have come while it was down."""
        told = False
        while not self._ending.is_set() and (taken := [p for p in self.part.ports if not is_free(p)]):
            if not told:
                self._nest.say(f"{self.part.name} waits: another program listens on port {taken[0]}")
                told = True
            await self._pause(1.0)


async def problem_of(probe: Probe) -> str:
    """Run a probe, which may block for some seconds, and return what is wrong, or nothing."""
    try:
        await asyncio.to_thread(probe)
    except NotServingError as problem:
        return str(problem).strip() or "no answer"
    return ""


def _cause(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
