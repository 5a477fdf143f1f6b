"""The migrations make what the models say."""

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from worker.database import engine
from worker.import_tables import Import
from worker.migrate import is_current, migrate


@pytest.mark.usefixtures("server_environment")
def test_a_migrated_database_differs_in_nothing_from_the_models() -> None:
    with engine("demo").connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Import.metadata) == []
        names = connection.exec_driver_sql("SELECT sequencename FROM pg_sequences").scalars().all()
    assert set(Import.metadata._sequences) <= set(names)


@pytest.mark.usefixtures("server_environment")
def test_migrating_what_is_current_changes_nothing() -> None:
    before = migrate("acme")
    assert is_current("acme")
    assert migrate("acme") == before
