"""Preview what an import would do with rows (dry run), and read stored records (``limpet verify``); read-only."""

from collections.abc import Sequence
from datetime import UTC, datetime

from pydantic import TypeAdapter
from sqlalchemy import text

from schemas.case_attachment import CaseAttachmentPayload, CaseAttachmentRecord
from schemas.imports import Checked, RefusedRow, StoredRecord
from worker.database import transaction
from worker.imports.rows import ImportOptions, parse_row, read_rows
from worker.kinds.case_attachment.rows import Record, conflict_reason, load_records
from worker.ledger.model import NewItem
from worker.verdicts import Verdict

_payload = TypeAdapter(CaseAttachmentPayload)
_UNSHOWN = {"attachment", "case_attachment_key"}


def check_rows(options: ImportOptions, lines: Sequence[bytes]) -> Checked:
    """Return what would happen to the rows if they ran now, one after another."""
    items = [parse_row(row, options) for row in read_rows(lines)]
    if options.kind == "files":
        return _check_files(items)
    with transaction(options.database) as session:
        records = load_records(session, [item.key for item in items if item.key is not None and item.verdict is None])
    updated_at = {key: record.update_date for key, record in records.items()}
    answer = Checked(created=[], updated=0, skipped=0, refused=[])
    for item in items:
        _count(answer, item, updated_at)
    return answer


def _check_files(items: Sequence[NewItem]) -> Checked:
    invalid = [_refused_row(item, item.verdict) for item in items if item.verdict is not None]
    return Checked(created=[], updated=0, skipped=0, valid=len(items) - len(invalid), refused=invalid)


def _refused_row(item: NewItem, end: Verdict) -> RefusedRow:
    line = item.payload["line"]
    assert isinstance(line, int)
    return RefusedRow(line=line, status=end.status, error=end.body)


def _count(answer: Checked, item: NewItem, updated_at: dict[int, datetime]) -> None:
    if item.verdict is not None:
        answer.refused.append(_refused_row(item, item.verdict))
        return
    sent = _payload.validate_python(item.payload)
    stored_at = updated_at.get(item.key) if item.key is not None else None
    if stored_at is None:
        answer.created.append(item.key or 0)
    elif conflict_reason(stored_at, sent):
        answer.skipped += 1
        return
    else:
        answer.updated += 1
    if item.key is not None:
        updated_at[item.key] = sent.update_date or datetime.now(UTC)


_HASHES = text("""
    SELECT r.case_attachment_key AS key, b.sha256, b.size
    FROM case_attachment AS r LEFT JOIN blob AS b ON b.id = r.blob_id
    WHERE r.case_attachment_key = ANY(:keys)
""")
_KEYS = text("""
    SELECT case_attachment_key AS key FROM case_attachment
    WHERE case_attachment_key > :after ORDER BY case_attachment_key LIMIT :limit
""")


def read_stored(database: str, keys: Sequence[int]) -> list[StoredRecord]:
    """Return the records that exist among ``keys``, with their fields and the hashes of their contents."""
    with transaction(database) as session:
        records = load_records(session, keys)
        hashes = {row.key: row for row in session.execute(_HASHES, {"keys": list(records)})}
    return [
        StoredRecord(
            key=key,
            fields=_fields(record),
            sha256=bytes(hashes[key].sha256).hex() if hashes[key].sha256 is not None else None,
            size=hashes[key].size,
        )
        for key, record in sorted(records.items())
        if key in hashes
    ]


def _fields(record: Record) -> dict[str, object]:
    shown = {name: getattr(record, name) for name in CaseAttachmentRecord.model_fields if name != "attachment"}
    return CaseAttachmentRecord(**shown).model_dump(mode="json", by_alias=True, exclude=_UNSHOWN)


def list_keys(database: str, after: int, limit: int) -> list[int]:
    """Return the keys of records above ``after``, ascending, ``limit`` at most."""
    with transaction(database) as session:
        return list(session.scalars(_KEYS, {"after": after, "limit": limit}))
