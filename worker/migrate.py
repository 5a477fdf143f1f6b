"""Bring a database to the schema of this version."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from worker.database import engine

# Any fixed number: whoever migrates holds it, so that two that start at once take turns.
_LOCK = 0x11_33_9E_7


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config


def migrate(database: str) -> str:
    """Run the migrations that ``database`` lacks and return the revision it is at then."""
    with engine(database).begin() as connection:
        # The servers' own limits are too short for an index, and for waiting for somebody else's.
        connection.execute(text("SET LOCAL lock_timeout = 0"))
        connection.execute(text("SET LOCAL transaction_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        command.upgrade(_config(connection), "head")
        return str(MigrationContext.configure(connection).get_current_revision())


def is_current(database: str) -> bool:
    """Return whether ``database`` is at the newest revision that this version knows."""
    with engine(database).connect() as connection:
        now = MigrationContext.configure(connection).get_current_revision()
    return now == ScriptDirectory.from_config(_config()).get_current_head()
