"""The records, equal for every candidate, as JSON of the API and as rows of the table. Standard library only."""

import json
from collections.abc import Iterator

_UPDATED = "2026-01-01T00:00:00Z"
CASES = 5000


def record(key: int) -> dict[str, object]:
    """Return the record ``key`` as a client of the API sends it."""
    return {
        "caseAttachment_Key": key,
        "case_Key": key % CASES,
        "attachment_File": f"scan-{key}.pdf",
        "caseAttachment_Type": "scan",
        "comment": f"page {key} of the archive",
        "entry_User": "bench",
        "update_Date": _UPDATED,
    }


def row(key: int) -> dict[str, object]:
    """Return the same record as a row of the table case_attachment, instants as text."""
    return {
        "case_attachment_key": key,
        "case_key": key % CASES,
        "attachment_file": f"scan-{key}.pdf",
        "attachment_path": None,
        "case_attachment_type": "scan",
        "comment": f"page {key} of the archive",
        "entry_user": "bench",
        "entry_date": _UPDATED,
        "update_user": "bench",
        "update_date": _UPDATED,
        "blob_id": None,
        "acceptance": 1,
        "position": key,
    }


def bodies(first: int, batches: int, size: int) -> list[bytes]:
    """Return ``batches`` request bodies of ``size`` records each, keys counting up from ``first``."""
    return [
        json.dumps([record(key) for key in range(start, start + size)]).encode()
        for start in range(first, first + batches * size, size)
    ]


def rows(first: int, count: int) -> Iterator[dict[str, object]]:
    """Yield ``count`` rows, keys counting up from ``first``."""
    return map(row, range(first, first + count))
