"""The metadata of every table of a target database, for migrations and comparisons."""

from worker.tables import blobs, imports, ledger, records
from worker.tables.base import Base

# Each module adds its tables to the base's metadata when it is imported.
TABLES = (ledger, blobs, records, imports)
METADATA = Base.metadata
