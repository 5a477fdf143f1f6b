"""One embedded stack serves each process of a run: real PostgreSQL, Valkey, S3, API, workers, relay, beat, Flower."""

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest
from support.case_attachments import connected
from support.databases import create_database, knowing
from support.file_attachments import files_client
from support.left_out import LeftOut

from limpet.embedded.running import running_stack
from worker.database import engine
from worker.settings import settings


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(LeftOut())


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
    settings.cache_clear()  # a module that was imported earlier may have read others


@pytest.fixture
def demo_db(stack: dict[str, str]) -> Iterator[psycopg.Connection]:
    """A connection to database demo, each statement its own transaction."""
    with connected(stack) as connection:
        yield connection


@pytest.fixture
def alone(stack: dict[str, str]) -> Iterator[psycopg.Connection]:
    """A database of its own, named alone, at this version's schema; this process knows no other, and nobody else it."""
    only = create_database(stack, "alone")
    with knowing(only), connected(only, "alone") as connection:
        yield connection
        engine("alone").dispose()
    with connected(stack) as known:
        known.execute("DROP DATABASE alone")
