"""The migrations make what the models say, and programs of two versions run on the newer schema."""

import json
from collections.abc import Iterator

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from calls import connected, fresh_keys

from worker.all_tables import METADATA
from worker.database import engine, transaction
from worker.deliver import deliver
from worker.ledger.accept import NewBatch, NewItem, accept
from worker.migrate import is_current, migrate
from worker.settings import settings

pytestmark = pytest.mark.usefixtures("server_environment")


def test_a_migrated_database_differs_in_nothing_from_the_models() -> None:
    with engine("demo").connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
        names = connection.exec_driver_sql("SELECT sequencename FROM pg_sequences").scalars().all()
    assert set(METADATA._sequences) <= set(names)


def test_migrating_what_is_current_changes_nothing() -> None:
    before = migrate("acme")
    assert is_current("acme")
    assert migrate("acme") == before


@pytest.fixture
def rolled(stack: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[psycopg.Connection]:
    """A database of its own, named rolled, at this version's schema."""
    with connected(stack) as known:
        known.execute("CREATE DATABASE rolled")
    url = json.loads(stack["LIMPET_DATABASES"])["demo"].rpartition("/")[0]
    only = {"LIMPET_DATABASES": json.dumps({"rolled": f"{url}/rolled"})}
    monkeypatch.setenv("LIMPET_DATABASES", only["LIMPET_DATABASES"])
    settings.cache_clear()
    migrate("rolled")
    with connected(only, "rolled") as connection:
        yield connection
    engine("rolled").dispose()
    monkeypatch.undo()
    settings.cache_clear()
    with connected(stack) as known:
        known.execute("DROP DATABASE rolled")


def test_a_schema_of_a_later_version_is_left_alone_and_works(rolled: psycopg.Connection) -> None:
    for table in ("batch", "chunk", "item", "blob", "case_attachment"):
        rolled.execute(f"ALTER TABLE {table} ADD COLUMN of_tomorrow text DEFAULT 'x'")
    rolled.execute("UPDATE alembic_version SET version_num = 'tomorrow'")
    assert is_current("rolled")
    assert migrate("rolled") == "tomorrow"
    (key,) = fresh_keys()
    with transaction("rolled") as session:
        accepted = accept(session, NewBatch("test", "test", [NewItem("case_attachment.upsert", key, {"case_Key": 1})]))
    assert deliver("rolled", [accepted.rings[0].chunk_id], "test") == "1 created"


def test_a_schema_of_an_earlier_version_is_not_ready_until_it_is_migrated(rolled: psycopg.Connection) -> None:
    rolled.execute("ALTER TABLE loader DROP COLUMN failures")
    rolled.execute("UPDATE alembic_version SET version_num = '0003'")
    assert not is_current("rolled")
    migrate("rolled")
    assert is_current("rolled")
