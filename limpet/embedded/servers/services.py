"""Our own parts: migration, API, workers, relay, beat and Flower."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from signal import SIGQUIT

from limpet.embedded.home.plan import PROCESSES_PER_WORKER, Plan
from limpet.embedded.home.ports import HOST
from limpet.embedded.supervision import probes
from limpet.embedded.supervision.part import Command, StackPart
from worker.ledger.model import BULK_QUEUE, DEFAULT_QUEUE


@dataclass(frozen=True)
class Services:
    """Our parts of one plan; ``environment`` is their whole environment."""

    plan: Plan
    environment: Mapping[str, str]

    def migrate(self) -> Command:
        """Return the command that migrates every database."""
        return self._python("migrate", "-m", "limpet", "migrate")

    def parts(self) -> list[StackPart]:
        """Return the parts that run after the migration."""
        # Half of the workers don't serve the bulk queue, so a small request never waits behind an import.
        count = self.plan.workers
        workers = [self._worker(f"worker{n}", bulk=n > count // 2) for n in range(1, count + 1)]
        return [self._api(), *workers, self._relay(), self._beat(), self._flower()]

    def _api(self) -> StackPart:
        command = self._python(
            "api",
            *("-m", "uvicorn", "api_stub.app:create_app", "--factory", "--no-access-log"),
            # Without these uvicorn takes what is installed; httptools does not limit a request's headers.
            *("--http", "h11", "--loop", "asyncio"),
            *("--host", HOST, "--port", str(self.plan.api_port)),
        )
        probe = probes.page(f"{self.plan.api_url}/health/ready")
        return StackPart(command, self.plan.api_url, probe, (self.plan.api_port,))

    def _worker(self, name: str, *, bulk: bool) -> StackPart:
        # On an external broker, a second stack of this host may have a worker of the same name.
        node = f"{name}-{self.plan.api_port}" if self.plan.external else name
        command = self._celery(
            name,
            *("worker", "-n", f"{node}@%h", f"--concurrency={PROCESSES_PER_WORKER}"),
            *("-Q", ",".join((DEFAULT_QUEUE, BULK_QUEUE) if bulk else (DEFAULT_QUEUE,))),
            *("--without-mingle", "--without-gossip", "-E", "-l", "info"),
        )
        # SIGTERM gives running tasks some seconds and then returns them to the queue.
        # If `up` dies, the worker gets the same signal.
        environment = {**command.environment, "REMAP_SIGTERM": "SIGQUIT"}
        command = replace(command, environment=environment, orphan_signal=SIGQUIT)
        return StackPart(command, probe=probes.worker(self.plan.stores.broker, node), grace=15.0)

    def _relay(self) -> StackPart:
        return StackPart(self._python("relay", "-m", "worker.relay"))

    def _beat(self) -> StackPart:
        schedule = str(self.plan.home.run / "beat")
        return StackPart(self._celery("beat", *("beat", "-s", schedule, "--pidfile=", "-l", "info")))

    def _flower(self) -> StackPart:
        command = self._celery(
            "flower",
            *("flower", f"--address={HOST}", f"--port={self.plan.flower_port}", "--url_prefix=flower"),
            *("--persistent=True", f"--db={self.plan.home.run / 'flower.db'}", "--state_save_interval=10000"),
        )
        probe = probes.page(f"{self.plan.flower_url}healthcheck")
        return StackPart(command, self.plan.flower_url, probe, (self.plan.flower_port,))

    def _celery(self, name: str, *arguments: str) -> Command:
        return self._python(name, "-m", "celery", "-A", "worker.tasks", *arguments)

    def _python(self, name: str, *arguments: str) -> Command:
        return Command(name, (sys.executable, *arguments), self.environment, self.plan.home.run)
