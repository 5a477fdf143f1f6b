"""One embedded stack serves the whole run: real PostgreSQL, Valkey, S3, API, workers, relay, beat, Flower."""

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest
from calls import connected
from file_calls import files_client

from limpet.stack.running import running_stack
from worker.settings import settings


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The variables of client.env and server.env of a running stack."""
    data: Path = tmp_path_factory.mktemp("stack") / "data"
    with running_stack(data) as variables:
        yield variables | {"data": str(data)}


def headers(stack: dict[str, str], database: str = "demo") -> dict[str, str]:
    return {
        "vbasoftware-database": database,
        "x-api-key": stack["LIMPET_API_KEY"],
        "Authorization": f"Bearer {stack['LIMPET_TOKEN']}",
    }


@pytest.fixture(scope="session")
def client(stack: dict[str, str]) -> Iterator[httpx.Client]:
    """A client of database demo."""
    with httpx.Client(base_url=stack["LIMPET_URL"], headers=headers(stack), timeout=60) as session:
        yield session


@pytest.fixture(scope="session")
def acme(stack: dict[str, str]) -> Iterator[httpx.Client]:
    """A client of database acme."""
    with httpx.Client(base_url=stack["LIMPET_URL"], headers=headers(stack, "acme"), timeout=60) as session:
        yield session


@pytest.fixture(scope="session")
def files(stack: dict[str, str]) -> Iterator[httpx.Client]:
    """A client of database demo that signs in as the stack's user."""
    with files_client(stack) as session:
        yield session


@pytest.fixture(scope="session")
def server_environment(stack: dict[str, str]) -> None:
    """Let this process be a server's side: its settings are the stack's."""
    os.environ.update({name: value for name, value in stack.items() if name.startswith("LIMPET_")})
    settings.cache_clear()  # whoever imported a module that reads them was too early


@pytest.fixture
def demo_db(stack: dict[str, str]) -> Iterator[psycopg.Connection]:
    """A connection to database demo, each statement its own transaction."""
    with connected(stack) as connection:
        yield connection
