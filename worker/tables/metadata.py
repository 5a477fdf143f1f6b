"""The metadata of every table of a target database, for migrations and comparisons."""

from worker.tables import blobs, imports, ledger, records
from worker.tables.base import Base

# Importing a module adds its tables to the metadata.
TABLES = (ledger, blobs, records, imports)
METADATA = Base.metadata
