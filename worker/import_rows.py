"""From the rows of an import to items for the ledger. A bad row gets its verdict here and harms no other."""

from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from schemas.case_attachment import CaseAttachment, CaseAttachmentPayload
from schemas.imports import ImportRow, OnConflict, RowContent
from schemas.kinds import UPSERT
from worker.flaws import field_error, in_short, invalid, not_an_object
from worker.import_contents import stored_at
from worker.ledger.accept import NewItem

_KEPT = ("caseAttachment_Key", *(f.alias or name for name, f in CaseAttachmentPayload.model_fields.items()))


def read_rows(lines: Iterable[bytes]) -> list[ImportRow]:
    """Return a row for each line of NDJSON; one that is no row says so in its ``flaw``."""
    return [_row(line) for line in lines]


def _row(line: bytes) -> ImportRow:
    try:
        return ImportRow.model_validate_json(line)
    except ValidationError as wrong:
        error = field_error(dict(wrong.errors(include_url=False)[0]))
        return ImportRow.model_validate(
            {"line": 0, "flaw": {"field": error["field"], "message": error["message"], "status": 400}}
        )


def item_of(row: ImportRow, database: str, on_conflict: OnConflict) -> NewItem:
    """Return the item that creates or replaces the case attachment of ``row``, or the refused one."""
    entry = row.item
    if row.flaw is not None:
        return _refused(row, row.flaw.status, [{"field": row.flaw.field, "message": row.flaw.message}])
    if not isinstance(entry, dict):
        return _refused(row, 400, [{"field": "", "message": not_an_object(entry)}])
    try:
        sent = CaseAttachment.model_validate(entry)
    except ValidationError as wrong:
        return _refused(row, 422, [field_error(dict(error)) for error in wrong.errors(include_url=False)])
    if sent.attachment is not None:
        message = "must be left out of an import: contents come from the files that attachment_Path names"
        return _refused(row, 422, [{"field": "attachment", "message": message}])
    mode = "set" if row.content else "clear" if "attachment" in entry else "keep"
    payload = CaseAttachmentPayload.model_validate({**sent.model_dump(), "content": mode, "on_conflict": on_conflict})
    kept = payload.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return _with_content(NewItem(UPSERT, sent.case_attachment_key or None, kept | {"line": row.line}), row, database)


def _with_content(item: NewItem, row: ImportRow, database: str) -> NewItem:
    if row.content is None:
        return item
    stored = stored_at(database, row.content)
    if stored is None:
        return _refused(row, 422, [{"field": "content.place", "message": "is none that POST .../contents gave"}])
    return NewItem(item.kind, item.key, item.payload, stored=stored)


def _refused(row: ImportRow, status: int, errors: list[dict[str, str]]) -> NewItem:
    key = row.item.get("caseAttachment_Key") if isinstance(row.item, dict) else None
    readable = key if type(key) is int and 0 <= key < 2**31 else 0
    return NewItem(UPSERT, None, _keepable(row), verdict=invalid(status, errors, readable))


def _keepable(row: ImportRow) -> dict[str, object]:
    """Return what of a refused row the ledger keeps: its line, and its fields in short."""
    entry: dict[str, Any] = row.item if isinstance(row.item, dict) else {}
    return {"line": row.line} | {name: in_short(entry[name]) for name in _KEPT if name in entry}


def contents_of(rows: Iterable[ImportRow]) -> list[RowContent]:
    """Return the contents that rows bring."""
    return [row.content for row in rows if row.content is not None]
