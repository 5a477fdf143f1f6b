"""Every table of a target database: whoever makes a schema, or compares one, begins here and can miss none."""

from worker.tables.base import Base

METADATA = Base.metadata
