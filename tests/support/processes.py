"""Processes: those of the stack, and others beside them with settings of their own."""

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg
from support.case_attachments import connected
from support.databases import create_database
from support.waiting import eventually

from api_stub.auth.credentials import make_token


def pids(stack: dict[str, str]) -> dict[str, Any]:
    """The process numbers of the stack by part."""
    found: dict[str, Any] = json.loads(Path(stack["data"], "pids.json").read_text())
    return found


@dataclass(frozen=True)
class Another:
    """One process, and where it writes."""

    process: subprocess.Popen[bytes]
    log: Path

    def stop(self, seconds: float = 30) -> int:
        """Ask it to stop, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)


@contextmanager
def another(stack: dict[str, str], log: Path, *arguments: str, **settings: str) -> Iterator[Another]:
    """Run ``python -m ...`` as the stack's servers are run, but for ``settings``."""
    ours = {name: value for name, value in stack.items() if name.startswith("LIMPET_")}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            env={**os.environ, **ours, **settings},
            cwd=log.parent,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Another(process, log)
    finally:
        process.kill()
        process.wait()


@contextmanager
def another_api(stack: dict[str, str], folder: Path, **settings: str) -> Iterator[tuple[str, Another]]:
    """Run an API of its own; yield where it is, as soon as it answers."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    serve = ("uvicorn", "api_stub.app:create_app", "--factory", "--no-access-log", "--port", str(port))
    with another(stack, folder / f"api-{port}.log", *serve, **settings) as api:
        url = f"http://127.0.0.1:{port}"
        eventually(lambda: _lives(url) or api.process.poll() is not None, 120)
        assert api.process.poll() is None, api.log.read_text()
        yield url, api


def _lives(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/live", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


# The databases of the broker that no other system uses: 0 is the stack's, 1 that of the compose file.
_brokers = itertools.count(2)


@dataclass(frozen=True)
class System:
    """Processes of ours on a database of their own; ``work`` is what its worker runs."""

    name: str
    client: httpx.Client
    database: psycopg.Connection
    settings: dict[str, str]
    work: tuple[str, ...]
    worker: Another


@contextmanager
def another_system(stack: dict[str, str], folder: Path, name: str, **settings: str) -> Iterator[System]:
    """Run API, worker and relay on a database and a broker of their own, on the stack's servers."""
    ours = {
        **create_database(stack, name),
        "LIMPET_BROKER_URL": f"{stack['LIMPET_BROKER_URL'].rpartition('/')[0]}/{next(_brokers)}",
        "LIMPET_REQUIRE": "bearer",
        **settings,
    }
    token = make_token(stack["LIMPET_JWT_SECRET"], "tester", [name], timedelta(hours=1))
    headers = {"vbasoftware-database": name, "Authorization": f"Bearer {token}"}
    work = (
        "celery",
        "-A",
        "worker.tasks",
        "worker",
        "-n",
        f"{name}@%h",
        "--concurrency=2",
        "--without-mingle",
        "-l",
        "info",
    )
    with (
        another_api(stack, folder, **ours) as (url, _),
        another(stack, folder / "worker.log", *work, **ours) as worker,
        another(stack, folder / "relay.log", "worker.relay", **ours),
        httpx.Client(base_url=url, headers=headers, timeout=60) as client,
        connected({"LIMPET_DATABASES": ours["LIMPET_DATABASES"]}, name) as database,
    ):
        yield System(name, client, database, ours, work, worker)
