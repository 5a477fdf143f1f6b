"""Every table of a target database: whoever makes a schema, or compares one, begins here and can miss none."""

from worker import import_tables, record_tables  # noqa: F401  each adds its tables to the metadata
from worker.tables import Base

METADATA = Base.metadata
