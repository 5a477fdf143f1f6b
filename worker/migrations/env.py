"""Alembic's entry point: runs migrations on the connection that ``worker.migrate`` passes."""

from alembic import context

from worker.tables.metadata import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
with context.begin_transaction():
    context.run_migrations()
