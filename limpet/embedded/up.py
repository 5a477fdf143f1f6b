"""What ``limpet up`` does, from the first check to the last process gone."""

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
from limpet.embedded.home.data_folder import DataFolder, check_untaken, claim, create, keep_ports
from limpet.embedded.home.environment import write_client, write_server
from limpet.embedded.home.keyring import read_keyring
from limpet.embedded.home.plan import Plan
from limpet.embedded.servers import seaweed, valkey
from limpet.embedded.servers.postgres import create_databases, database_url, postgres
from limpet.embedded.servers.services import Services
from limpet.embedded.supervision import probes
from limpet.embedded.supervision.journal import journal, screen
from limpet.embedded.supervision.lifeline import Lifeline
from limpet.embedded.supervision.process import Nest
from limpet.embedded.supervision.roster import Roster
from limpet.embedded.supervision.supervisor import Supervisor, together
from worker.private_files import write_private
from worker.settings import settings

_DATABASES = ("demo", "acme")
_API_PORT = 8000
_SAME_SIGNAL = 0.5  # seconds


@dataclass(frozen=True)
class UpOptions:
    """What the command line says; ``stores`` are the external ones, if any."""

    data: Path
    port: int | None
    workers: int
    stores: Stores | None


def run(options: UpOptions) -> None:
    """Run the stack until SIGINT, SIGTERM or SIGHUP; return when every process has ended.

    Raises:
        RefusedError: the stack may not start this way.
        StartError: a part did not come up.

    """
    began = time.monotonic()
    home = DataFolder(options.data.resolve())
    create(home.path)
    check_untaken(home)
    with lock.held(home.path, screen) as descriptor, ports.Reservations() as reservations:
        if options.port and not reservations.take(options.port):
            raise StartRefusedError(f"Port {options.port} is taken by another program; choose another with --port.")
        claim(home)
        plan, kept = _plan(options, home, reservations)
        asyncio.run(_run(plan, kept, descriptor, began))


def _plan(options: UpOptions, home: DataFolder, reservations: ports.Reservations) -> tuple[Plan, dict[str, int]]:
    """Return the plan, and the ports of the servers that are kept from start to start."""
    keyring = read_keyring(home.secrets)
    ours = ("api", "flower")
    kept = keep_ports(home, ours if options.stores else (*ours, "postgres", "redis", *seaweed.PORTS), reservations)
    stores = options.stores or Stores(
        databases={name: database_url(kept["postgres"], keyring.postgres, name) for name in _DATABASES},
        broker=valkey.url(kept["redis"], keyring.valkey),
        bucket=Bucket(f"{ports.HOST}:{kept['s3']}", keyring.s3_access_key, keyring.s3_secret_key),
    )
    # Beside external stores there may be APIs on other hosts, which must take the same tokens.
    shared = settings().jwt_secret.get_secret_value() if options.stores else ""
    plan = Plan(
        home=home,
        keyring=keyring,
        stores=stores,
        jwt_secret=shared or keyring.jwt,
        api_port=options.port or (_API_PORT if reservations.take(_API_PORT) else kept["api"]),
        flower_port=kept["flower"],
        workers=options.workers,
        external=options.stores is not None,
    )
    return plan, kept


async def _run(plan: Plan, kept: dict[str, int], lock_descriptor: int, began: float) -> None:
    home = plan.home
    stop, hurry = asyncio.Event(), asyncio.Event()
    _on_signals(stop, hurry)
    lifeline = Lifeline(lock_descriptor, (home.pids, home.ready))
    nest = Nest(home.logs, lifeline, Roster(home.pids, os.getpid()), journal(home.logs / "up.log"))
    supervisor = Supervisor(nest)
    await lifeline.open()
    nest.say(f"limpet up, data in {home.path}")
    try:
        if await _unless(stop, _start(plan, kept, supervisor)):
            write_private(home.ready, f"{os.getpid()}\n")
            _tell_ready(nest, home, time.monotonic() - began)
            await _unless(stop, supervisor.watch())
        nest.say("stopping (Ctrl-C again hastens)")
    finally:
        home.ready.unlink(missing_ok=True)
        await supervisor.stop(hurry)
        nest.roster.remove()
        await lifeline.close()
    nest.say("stopped")


async def _start(plan: Plan, kept: dict[str, int], supervisor: Supervisor) -> None:
    services = Services(plan, write_server(plan))
    write_client(plan)
    if plan.external:
        await _await_stores(plan.stores, supervisor)
    else:
        await _start_stores(plan, kept, supervisor)
    await supervisor.run(services.migrate())
    await supervisor.start(services.parts())


async def _start_stores(plan: Plan, kept: dict[str, int], supervisor: Supervisor) -> None:
    home, keyring = plan.home, plan.keyring

    async def start_database() -> None:
        # By itself, since the first start makes the data folder: the other two need not wait for that.
        await supervisor.start([await postgres(home, kept["postgres"], keyring.postgres, supervisor.run)])
        await asyncio.to_thread(create_databases, kept["postgres"], keyring.postgres, _DATABASES)

    others = [
        valkey.valkey(home / "valkey", kept["redis"], keyring.valkey),
        seaweed.seaweed(home / "s3", kept, plan.stores.bucket),
    ]
    await together(start_database(), supervisor.start(others))


async def _await_stores(stores: Stores, supervisor: Supervisor) -> None:
    await together(
        *(supervisor.await_external(name, probes.database(url)) for name, url in stores.databases.items()),
        supervisor.await_external("broker", probes.broker(stores.broker)),
        supervisor.await_external("object store", probes.bucket(stores.bucket)),
    )


async def _unless(stop: asyncio.Event, work: Awaitable[None]) -> bool:
    """Do the work unless ``stop`` comes before its end; return whether it was done. Its error is ours."""
    working, stopping = asyncio.ensure_future(work), asyncio.create_task(stop.wait())
    await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if working.done():
        await working
        return True
    working.cancel()
    await asyncio.wait({working})
    return False


def _on_signals(stop: asyncio.Event, hurry: asyncio.Event) -> None:
    """Let the first signal set ``stop`` and a later one ``hurry``."""
    loop = asyncio.get_running_loop()

    def take() -> None:
        if not stop.is_set():
            stop.set()
            # One Ctrl-C may arrive twice: from the terminal and from a parent that passes it on.
            loop.call_later(_SAME_SIGNAL, heeding.set)
        elif heeding.is_set():
            hurry.set()

    heeding = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, take)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup wants it to outlive the terminal
        loop.add_signal_handler(signal.SIGHUP, take)


def _tell_ready(nest: Nest, home: DataFolder, seconds: float) -> None:
    nest.say(f"ready in {seconds:.1f} s")
    nest.say(f"to use it from a shell: set -a; source {home / 'client.env'}; set +a")
    nest.say("Ctrl-C stops it")
