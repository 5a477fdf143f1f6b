"""Alembic's entry: runs against the connection that ``worker.migrate`` hands over."""

from alembic import context

from worker.import_tables import Import

context.configure(connection=context.config.attributes["connection"], target_metadata=Import.metadata)
with context.begin_transaction():
    context.run_migrations()
