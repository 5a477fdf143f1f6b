"""Alembic's entry: runs against the connection that ``worker.migrate`` hands over."""

from alembic import context

from worker import import_tables, record_tables  # noqa: F401  each adds its tables to the metadata
from worker.tables import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
with context.begin_transaction():
    context.run_migrations()
