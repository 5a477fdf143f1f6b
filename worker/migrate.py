"""Bring a database to the schema of this version."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from worker.database import engine

# Any fixed number: whoever migrates holds it, so that two that start at once take turns.
_MIGRATION_LOCK = 0x11_33_9E_7


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config


def migrate(database: str) -> str:
    """Run the migrations that ``database`` lacks and return the revision it is at then.

    One that a newer version has migrated is left as it is: migrations only add what older programs don't mind.
    """
    with engine(database).begin() as connection:
        # The servers' own limits are too short for an index, and for waiting for somebody else's.
        connection.execute(text("SET LOCAL lock_timeout = 0"))
        connection.execute(text("SET LOCAL transaction_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
        if not _is_newer(_revision(connection)):
            command.upgrade(_config(connection), "head")
        return str(_revision(connection))


def is_current(database: str) -> bool:
    """Return whether ``database`` has all that this version needs: its newest revision, or a later version's."""
    with engine(database).connect() as connection:
        revision = _revision(connection)
    return revision == ScriptDirectory.from_config(_config()).get_current_head() or _is_newer(revision)


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _is_newer(revision: str | None) -> bool:
    """Return whether ``revision`` is a later version's: there is one line of them, so one that we don't know."""
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    return revision is not None and revision not in known
