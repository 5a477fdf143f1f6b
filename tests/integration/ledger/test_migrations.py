"""The migrations make what the models say, and programs of two versions run on the newer schema."""

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from support.case_attachments import fresh_keys

from worker.database import engine, transaction
from worker.execution.deliver import deliver
from worker.ledger.accept import append_batch
from worker.ledger.model import NewBatch, NewItem
from worker.migrate import is_current, migrate
from worker.tables.metadata import METADATA

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


def test_a_schema_of_a_later_version_is_left_alone_and_works(alone: psycopg.Connection) -> None:
    for table in ("batch", "chunk", "item", "blob", "case_attachment"):
        alone.execute(f"ALTER TABLE {table} ADD COLUMN of_tomorrow text DEFAULT 'x'")
    alone.execute("UPDATE alembic_version SET version_num = 'tomorrow'")
    assert is_current("alone")
    assert migrate("alone") == "tomorrow"
    (key,) = fresh_keys()
    with transaction("alone") as session:
        accepted = append_batch(
            session, NewBatch("test", "test", [NewItem("case_attachment.upsert", key, {"case_Key": 1})])
        )
    assert deliver("alone", [accepted.messages[0].chunk_id], "test") == "1 created"


def test_a_schema_of_an_earlier_version_is_not_ready_until_it_is_migrated(alone: psycopg.Connection) -> None:
    alone.execute("DROP INDEX chunk_deleted")
    alone.execute("ALTER TABLE loader DROP COLUMN failures")
    alone.execute("UPDATE alembic_version SET version_num = '0003'")
    assert not is_current("alone")
    migrate("alone")
    assert is_current("alone")
