"""Runs ``limpet up``, from the first check to the end of the last process."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path

from limpet.embedded.endpoints import Bucket, Stores
from limpet.embedded.errors import StartRefusedError
from limpet.embedded.home import lock, ports
from limpet.embedded.home.data_folder import DataFolder, assign_ports, check_names_free, claim_folder, create_folder
from limpet.embedded.home.environment import write_client_environment, write_server_environment
from limpet.embedded.home.keyring import read_keyring
from limpet.embedded.home.plan import Plan
from limpet.embedded.servers import seaweed, valkey
from limpet.embedded.servers.postgres import create_databases, database_url, postgres_part
from limpet.embedded.servers.services import Services
from limpet.embedded.supervision import probes
from limpet.embedded.supervision.guardian_process import GuardianProcess
from limpet.embedded.supervision.journal import journal, screen
from limpet.embedded.supervision.pids_file import PidsFile
from limpet.embedded.supervision.process import ProcessContext
from limpet.embedded.supervision.supervisor import Supervisor, run_concurrently
from worker.private_files import write_private
from worker.settings import settings

_DATABASES = ("demo", "acme")
_DEFAULT_API_PORT = 8000
_SAME_SIGNAL_SECONDS = 0.5


@dataclass(frozen=True)
class UpOptions:
    """Options of the command line; ``stores`` are the external ones, None for embedded ones."""

    data: Path
    port: int | None
    workers: int
    stores: Stores | None


def run(options: UpOptions) -> None:
    """Run the stack until SIGINT, SIGTERM or SIGHUP; return when every process has ended.

    Raises:
        StartRefusedError: the stack can't start with these options.
        StartError: a part did not start.

    """
    began = time.monotonic()
    home = DataFolder(options.data.resolve())
    create_folder(home.path)
    check_names_free(home)
    with lock.hold(home.path, screen) as descriptor, ports.Reservations() as reservations:
        if options.port and not reservations.take(options.port):
            raise StartRefusedError(f"Port {options.port} is taken by another program; choose another with --port.")
        claim_folder(home)
        plan, port_numbers = _make_plan(options, home, reservations)
        asyncio.run(_run(plan, port_numbers, descriptor, began))


def _make_plan(options: UpOptions, home: DataFolder, reservations: ports.Reservations) -> tuple[Plan, dict[str, int]]:
    """Return the plan and each server's port, which stays the same at each start."""
    keyring = read_keyring(home.secrets)
    names = ("api", "flower") if options.stores else ("api", "flower", "postgres", "redis", *seaweed.PORTS)
    port_numbers = assign_ports(home, names, reservations)
    stores = options.stores or Stores(
        databases={name: database_url(port_numbers["postgres"], keyring.postgres, name) for name in _DATABASES},
        broker=valkey.url(port_numbers["redis"], keyring.valkey),
        bucket=Bucket(f"{ports.HOST}:{port_numbers['s3']}", keyring.s3_access_key, keyring.s3_secret_key),
    )
    # APIs on other hosts may share the external stores, and must accept the same tokens.
    shared = settings().jwt_secret.get_secret_value() if options.stores else ""
    plan = Plan(
        home=home,
        keyring=keyring,
        stores=stores,
        jwt_secret=shared or keyring.jwt,
        api_port=options.port or (_DEFAULT_API_PORT if reservations.take(_DEFAULT_API_PORT) else port_numbers["api"]),
        flower_port=port_numbers["flower"],
        workers=options.workers,
        external=options.stores is not None,
    )
    return plan, port_numbers


async def _run(plan: Plan, port_numbers: dict[str, int], lock_descriptor: int, began: float) -> None:
    home = plan.home
    stop, kill_now = asyncio.Event(), asyncio.Event()
    _handle_signals(stop, kill_now)
    guardian = GuardianProcess(lock_descriptor, (home.pids, home.ready))
    context = ProcessContext(home.logs, guardian, PidsFile(home.pids, os.getpid()), journal(home.logs / "up.log"))
    supervisor = Supervisor(context)
    await guardian.open()
    context.say(f"limpet up, data in {home.path}")
    try:
        if await _run_unless(stop, _start(plan, port_numbers, supervisor)):
            write_private(home.ready, f"{os.getpid()}\n")
            _announce_ready(context, home, time.monotonic() - began)
            await _run_unless(stop, supervisor.watch())
        context.say("stopping (Ctrl-C again hastens)")
    finally:
        home.ready.unlink(missing_ok=True)
        await supervisor.stop(kill_now)
        context.pids_file.remove()
        await guardian.close()
    context.say("stopped")


async def _start(plan: Plan, port_numbers: dict[str, int], supervisor: Supervisor) -> None:
    services = Services(plan, write_server_environment(plan))
    write_client_environment(plan)
    if plan.external:
        await _await_stores(plan.stores, supervisor)
    else:
        await _start_stores(plan, port_numbers, supervisor)
    await supervisor.run(services.migrate())
    await supervisor.start(services.parts())


async def _start_stores(plan: Plan, port_numbers: dict[str, int], supervisor: Supervisor) -> None:
    home, keyring = plan.home, plan.keyring

    async def start_database() -> None:
        # Apart from the other two, which need not wait for initdb at the first start.
        await supervisor.start([await postgres_part(home, port_numbers["postgres"], keyring.postgres, supervisor.run)])
        await asyncio.to_thread(create_databases, port_numbers["postgres"], keyring.postgres, _DATABASES)

    others = [
        valkey.valkey_part(home / "valkey", port_numbers["redis"], keyring.valkey),
        seaweed.seaweed_part(home / "s3", port_numbers, plan.stores.bucket),
    ]
    await run_concurrently(start_database(), supervisor.start(others))


async def _await_stores(stores: Stores, supervisor: Supervisor) -> None:
    await run_concurrently(
        *(supervisor.await_external(name, probes.database(url)) for name, url in stores.databases.items()),
        supervisor.await_external("broker", probes.broker(stores.broker)),
        supervisor.await_external("object store", probes.bucket(stores.bucket)),
    )


async def _run_unless(stop: asyncio.Event, work: Awaitable[None]) -> bool:
    """Do the work until ``stop`` is set; return whether it was done, and raise its error."""
    working, stopping = asyncio.ensure_future(work), asyncio.create_task(stop.wait())
    await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if working.done():
        await working
        return True
    working.cancel()
    await asyncio.wait({working})
    return False


def _handle_signals(stop: asyncio.Event, kill_now: asyncio.Event) -> None:
    """Let the first signal set ``stop`` and a later one ``kill_now``."""
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        if not stop.is_set():
            stop.set()
            # One Ctrl-C may arrive twice: from the terminal and from a parent process.
            loop.call_later(_SAME_SIGNAL_SECONDS, takes_second.set)
        elif takes_second.is_set():
            kill_now.set()

    takes_second = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup ignores it, to outlive the terminal
        loop.add_signal_handler(signal.SIGHUP, on_signal)


def _announce_ready(context: ProcessContext, home: DataFolder, seconds: float) -> None:
    context.say(f"ready in {seconds:.1f} s")
    context.say(f"to use it from a shell: set -a; source {home / 'client.env'}; set +a")
    context.say("Ctrl-C stops it")
