"""Starts the parts of the stack in waves, and stops them in reverse order."""

import asyncio
import time
from collections.abc import Awaitable, Sequence

from limpet.embedded.errors import StartError
from limpet.embedded.supervision.child import Child, run_probe
from limpet.embedded.supervision.part import Command, StackPart
from limpet.embedded.supervision.probes import Probe
from limpet.embedded.supervision.process import ProcessContext, run_to_end

_EXTERNAL_TIMEOUT_SECONDS = 60.0


class Supervisor:
    """Keeps the parts of one stack running."""

    def __init__(self, context: ProcessContext) -> None:
        """Create without starting any part."""
        self._context = context
        self._waves: list[dict[Child, asyncio.Task[None]]] = []

    async def start(self, parts: Sequence[StackPart]) -> None:
        """Start the parts at the same time; return when all serve.

        Raises:
            StartError: one of them does not start.

        """
        wave = {child: child.start() for child in [Child(part, self._context) for part in parts]}
        self._waves.append(wave)
        await run_concurrently(
            *(self._timed(child.part.name, child.part.url, _await_child(child, task)) for child, task in wave.items())
        )

    async def run(self, command: Command) -> None:
        """Run a command to its end.

        Raises:
            StartError: it failed.

        """
        await self._timed(command.name, "", run_to_end(command, self._context))

    async def await_external(self, name: str, probe: Probe) -> None:
        """Return once an external server serves.

        Raises:
            StartError: it does not answer within 60 s.

        """
        await self._timed(name, "(external)", _await_answer(name, probe))

    async def watch(self) -> None:
        """Wait without end; raise an error of the supervision itself."""
        tasks = [task for wave in self._waves for task in wave.values()]
        # Not gather(): when cancelled, it would cancel the tasks that keep the parts running.
        broken, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in broken:
            task.result()

    async def stop(self, kill_now: asyncio.Event) -> None:
        """Stop the started parts, last wave first; ``kill_now`` ends every grace."""
        for wave in reversed(self._waves):
            await asyncio.gather(*(child.stop(kill_now) for child in wave))

    async def _timed(self, name: str, url: str, work: Awaitable[None]) -> None:
        began = time.monotonic()
        await work
        self._context.say(f"  {name:<9} {url:<44} {time.monotonic() - began:5.1f} s")


async def run_concurrently(*awaitables: Awaitable[None]) -> None:
    """Await all; when one fails, cancel the others and raise its error."""
    tasks = [asyncio.ensure_future(work) for work in awaitables]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


async def _await_child(child: Child, task: asyncio.Task[None]) -> None:
    """Return when the child serves; raise when it can't, or when its task fails."""
    ready = asyncio.create_task(child.await_ready())
    try:
        await asyncio.wait({ready, task}, return_when=asyncio.FIRST_COMPLETED)
        await (ready if ready.done() else task)
    finally:
        ready.cancel()


async def _await_answer(name: str, probe: Probe) -> None:
    deadline = time.monotonic() + _EXTERNAL_TIMEOUT_SECONDS
    while problem := await run_probe(probe):
        if time.monotonic() > deadline:
            raise StartError(f"{name} does not answer: {problem}")
        await asyncio.sleep(0.5)
