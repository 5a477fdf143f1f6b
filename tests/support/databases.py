"""Databases of their own on the stack's server, copied from one that is migrated once."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from support.case_attachments import connected

from worker.database import engine
from worker.migrate import migrate
from worker.settings import settings

_TEMPLATE = "migrated"


def create_database(stack: dict[str, str], name: str) -> dict[str, str]:
    """Make an empty database at this version's schema; return the setting by which processes know it and no other."""
    with connected(stack) as known:
        if not known.execute("SELECT FROM pg_database WHERE datname = %s", [_TEMPLATE]).rowcount:
            known.execute(f"CREATE DATABASE {_TEMPLATE}")
            with knowing(_only(stack, _TEMPLATE)):
                migrate(_TEMPLATE)
                engine(_TEMPLATE).dispose()  # a database that is in use can not be copied
        known.execute(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}")
    return _only(stack, name)


@contextmanager
def knowing(databases: dict[str, str]) -> Iterator[None]:
    """Let this process know those databases while the block runs."""
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in databases.items():
                patch.setenv(name, value)
            settings.cache_clear()
            yield
    finally:
        settings.cache_clear()


def _only(stack: dict[str, str], name: str) -> dict[str, str]:
    url = json.loads(stack["LIMPET_DATABASES"])["demo"].rpartition("/")[0]
    return {"LIMPET_DATABASES": json.dumps({name: f"{url}/{name}"})}
