"""Bring a database to the schema of this version."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from worker.database import engine

# Any fixed number; the lock serializes two migrations that start at once.
_MIGRATION_LOCK = 0x11_33_9E_7


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config


def migrate(database: str) -> str:
    """Run the migrations that ``database`` lacks and return the revision it is at then.

    A schema of a newer version is left as it is: migrations only add what older programs ignore.
    """
    with engine(database).begin() as connection:
        # Our session limits are too short to build an index, or to wait for another migration.
        connection.execute(text("SET LOCAL lock_timeout = 0"))
        connection.execute(text("SET LOCAL transaction_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
        if not _is_newer(_revision(connection)):
            command.upgrade(_config(connection), "head")
        return str(_revision(connection))


def is_current(database: str) -> bool:
    """Return whether ``database`` has the newest revision of this version, or one of a later version."""
    with engine(database).connect() as connection:
        revision = _revision(connection)
    return revision == ScriptDirectory.from_config(_config()).get_current_head() or _is_newer(revision)


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _is_newer(revision: str | None) -> bool:
    """Return whether ``revision`` is of a later version: revisions are linear, so an unknown one is later."""
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    return revision is not None and revision not in known
