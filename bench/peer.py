"""Starts a peer's workers and its driver, and measures their throughput."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.servers import Servers
from limpet.embedded.home.ports import HOST, Reservations
from limpet.embedded.supervision.launch import launch_command

PROCESSES = 4  # of workers, as many as ours
_ROOT = Path(__file__).parent.parent
_PYTHON = _ROOT / ".venv-bench" / "bin" / "python"
_WARM_UP_ITEMS = 400
_GRACE_SECONDS = 10.0
_START_TIMEOUT_SECONDS = 60.0
_WORKERS: dict[str, list[tuple[str, ...]]] = {
    "celery_tasks": [("celery", "-A", "bench.peers.celery_tasks", "worker", f"--concurrency={PROCESSES}")],
    "dramatiq_tasks": [("dramatiq", "bench.peers.dramatiq_tasks", "--processes", f"{PROCESSES}")],
    "taskiq_tasks": [("taskiq", "worker", "bench.peers.taskiq_tasks:broker", "--workers", f"{PROCESSES}")],
    "procrastinate_tasks": [("procrastinate", "--app=bench.peers.procrastinate_tasks.app", "worker")] * PROCESSES,
}
_SCHEMA = ("procrastinate", "--app=bench.peers.procrastinate_tasks.app", "schema", "--apply")


@dataclass(frozen=True)
class Timed:
    """A driver's measurement: seconds in all, and of each item or chunk if the peer reports them."""

    seconds: float
    times: list[float]


class Driver:
    """A process that sends a peer's work, or carries it out."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def prepare(self, **wanted: object) -> None:
        """Prepare the work that `go` starts."""
        self._send(wanted)
        self._receive()

    def go(self) -> None:
        """Start the prepared work."""
        self._send("go")

    def end(self) -> Timed:
        """Wait for the end of the work, and return its times."""
        answer = self._receive()
        return Timed(answer["seconds"], answer["times"])

    def _send(self, message: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()

    def _receive(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the driver ended with exit code {self._process.wait()}; its log says why")
        return json.loads(line)


@dataclass(frozen=True)
class Peers:
    """The peers on the servers of one run; their output is in the data folder's ``logs``."""

    servers: Servers

    @contextmanager
    def driver(self, module: str) -> Iterator[Driver]:
        """Run a driver of ``bench.peers.<module>`` while the block runs."""
        with self._process(module, ("bench.peers.driver", module), subprocess.PIPE) as process:
            yield Driver(process)

    @contextmanager
    def serving(self, module: str) -> Iterator[Driver]:
        """Run a queue's workers, warmed up, while the block runs; yield a driver that sends to them."""
        if module == "procrastinate_tasks":
            with self._process(module, _SCHEMA) as schema:
                schema.wait()
        with ExitStack() as stack:
            for command in _WORKERS[module]:
                stack.enter_context(self._process(module, command))
            driver = stack.enter_context(self.driver(module))
            self.carry_out(driver, 1, _WARM_UP_ITEMS)
            yield driver

    def carry_out(self, driver: Driver, first: int, count: int) -> float:
        """Return the seconds from the first item sent until the records of all ``count`` are there."""
        self.servers.empty_peers()
        driver.prepare(first=first, count=count)
        began = time.monotonic()
        driver.go()
        done = self.servers.await_peers_rows(count)
        driver.end()
        return done - began

    @contextmanager
    def application(self, module: str, processes: int = PROCESSES) -> Iterator[str]:
        """Run an application of FastAPI, ``bench.peers.<module>``, while the block runs; yield its URL."""
        with Reservations() as reserved:
            port = reserved.take_any()
        command = ("uvicorn", f"bench.peers.{module}:app", "--port", f"{port}", "--workers", f"{processes}")
        with self._process(module, (*command, "--no-access-log")):
            _await_port(port)
            yield f"http://{HOST}:{port}"

    @contextmanager
    def _process(
        self, name: str, command: tuple[str, ...], pipe: int = subprocess.DEVNULL
    ) -> Iterator[subprocess.Popen[str]]:
        log = self.servers.data / "logs" / f"peer-{name}.log"
        with log.open("a") as output:
            process = subprocess.Popen(
                launch_command([str(_PYTHON), "-m", *command]),
                cwd=_ROOT,
                env={**os.environ, **self.servers.peers_environment(), "PYTHONPATH": str(_ROOT)},
                stdin=pipe,
                stdout=pipe if pipe == subprocess.PIPE else output,
                stderr=output,
                start_new_session=True,
                text=True,
            )
            try:
                yield process
            finally:
                _stop(process)


def _await_port(port: int) -> None:
    end = time.monotonic() + _START_TIMEOUT_SECONDS
    while time.monotonic() < end:
        with suppress(OSError), socket.create_connection((HOST, port), timeout=1):
            return
        time.sleep(0.1)
    raise TimeoutError("the FastAPI peer does not listen; its log says why")


def _stop(process: subprocess.Popen[str]) -> None:
    """End the process, and kill the rest of its group."""
    if process.stdin is not None:
        process.stdin.close()
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_GRACE_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
