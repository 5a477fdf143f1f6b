"""(f) psycopg alone: writes the rows, a statement and a commit for each chunk. The limit of the database."""

import json
import time
from collections.abc import Callable

import psycopg

from bench.peers.table import URL
from bench.rows import row as any_row
from bench.rows import rows

_TYPES = {"entry_date": "timestamptz", "update_date": "timestamptz", "blob_id": "bigint", "acceptance": "bigint"}
_INTEGERS = ("case_attachment_key", "case_key", "position")
_COLUMNS = tuple(any_row(1))
_TYPED = ", ".join(f"{name} {_TYPES.get(name, 'int' if name in _INTEGERS else 'text')}" for name in _COLUMNS)
_UPSERT = f"""
    INSERT INTO case_attachment ({", ".join(_COLUMNS)})
    SELECT {", ".join(_COLUMNS)} FROM jsonb_to_recordset(%s::jsonb) AS n ({_TYPED})
    ON CONFLICT (case_attachment_key) DO UPDATE SET {", ".join(f"{c} = excluded.{c}" for c in _COLUMNS[1:])}
"""


def prepare(first: int, count: int, chunk: int) -> Callable[[], list[float]]:
    """Return a function that upserts the rows and returns the seconds of each chunk, JSON and commit included."""
    connection = psycopg.connect(URL.replace("postgresql+psycopg", "postgresql"))

    def upsert() -> list[float]:
        times = []
        with connection:
            for start in range(first, first + count, chunk):
                part = list(rows(start, min(chunk, first + count - start)))
                began = time.perf_counter()
                connection.execute(_UPSERT, [json.dumps(part)])
                connection.commit()
                times.append(time.perf_counter() - began)
        return times

    return upsert
