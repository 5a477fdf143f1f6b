"""From the rows of an import to items for the ledger. A bad row gets its verdict here and harms no other."""

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from schemas.case_attachment import CaseAttachment, CaseAttachmentPayload, ContentMode
from schemas.file_attachments import FileAction, FileActionPayload, Name
from schemas.imports import LAST_LINE, ImportKind, ImportRow, InvalidRow, OnConflict
from schemas.kinds import FILE_DELETE, FILE_PUT, UPSERT
from worker.blobs.lifecycle import StoredContent
from worker.imports.contents import open_seal
from worker.kinds.file.rows import Collection
from worker.kinds.validation import field_error, invalid_verdict, not_an_object, summarize_errors
from worker.ledger.model import NewItem

_FROM_FILES = "must be left out of an import: contents come from files"
_KEPT = (
    "caseAttachment_Key",
    *(f.alias or name for name, f in CaseAttachmentPayload.model_fields.items()),
    *("table", "item", "action", "id", "title", "filename", "accessType", "showAsImage"),
)


def read_rows(lines: Iterable[bytes]) -> Iterator[ImportRow]:
    """Yield a row for each line of NDJSON; one that is no row says so in its ``flaw``."""
    return map(_row, lines)


def _row(line: bytes) -> ImportRow:
    try:
        return ImportRow.model_validate_json(line)
    except ValidationError as wrong:
        found = _lenient(line)
        with suppress(ValidationError):  # text that is no text is one field's flaw, like any other
            return ImportRow.model_validate(found)
        error = field_error(dict(wrong.errors(include_url=False)[0]))
        number = found.get("line") if isinstance(found, dict) else None
        return ImportRow(
            line=number if type(number) is int and 0 <= number <= LAST_LINE else 0,
            flaw=InvalidRow(field=error["field"], message=error["message"], status=400),
        )


def _lenient(line: bytes) -> object:
    """Return what ``line`` says, lone surrogates too; None if it is no JSON at all."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What the rows of one import ask for, in which database."""

    database: str
    kind: ImportKind = "case-attachments"
    on_conflict: OnConflict = "replace"


def parse_row(row: ImportRow, rule: ImportOptions) -> NewItem:
    """Return the item that ``row`` asks for, or the refused one."""
    make, kind = (_file, FILE_PUT) if rule.kind == "files" else (_case_attachment, UPSERT)
    if row.flaw is not None:
        message = row.flaw.message.strip() or "was refused by its sender"
        said = {name: f"{summarize_errors(text)}" for name, text in (("field", row.flaw.field), ("message", message))}
        return _refused(row, kind, row.flaw.status, [said])
    if not isinstance(row.item, dict):
        return _refused(row, kind, 400, [{"field": "", "message": not_an_object(row.item)}])
    try:
        return make(row, row.item, rule)
    except ValidationError as wrong:
        return _refused(row, kind, 422, [field_error(dict(error)) for error in wrong.errors(include_url=False)])
    except _RefusedError as wrong:
        return _refused(row, kind, wrong.status, [{"field": wrong.field, "message": wrong.message}])


class _RefusedError(Exception):
    """A row can't be taken: which field, why, and the status that says so."""

    def __init__(self, field: str, message: str, status: int = 422) -> None:
        super().__init__(f"{field}: {message}")
        self.field, self.message, self.status = field, message, status


def _case_attachment(row: ImportRow, entry: dict[str, Any], rule: ImportOptions) -> NewItem:
    sent = CaseAttachment.model_validate(entry, by_alias=True, by_name=False)
    if sent.attachment is not None:
        raise _RefusedError("attachment", _FROM_FILES)
    mode: ContentMode = "set" if row.content else "clear" if "attachment" in entry else "keep"
    payload = sent.kept(mode, rule.on_conflict) | {"line": row.line}
    return NewItem(UPSERT, sent.case_attachment_key or None, payload, stored=_content_of(row, rule.database))


class _Pair(BaseModel):
    """Which collection a file is of."""

    table: Name
    item: Name


def _file(row: ImportRow, entry: dict[str, Any], rule: ImportOptions) -> NewItem:
    where, sent = _Pair.model_validate(entry), FileAction.model_validate(entry, by_alias=True, by_name=False)
    if sent.contents is not None:
        raise _RefusedError("contentsbase64", _FROM_FILES)
    for field, value in (("table", where.table), ("item", where.item)):
        if value is None:
            raise _RefusedError(field, "is required")
    if rule.on_conflict == "skip" and sent.mode == "NEW-UPDATE":
        sent = sent.model_copy(update={"mode": "NEW-ONLY", "id": None})  # an add ignores the id
    if why := sent.unnamed():
        raise _RefusedError("filename", why)
    pair = Collection(where.table or "", where.item or "")
    deletes = sent.mode == "DELETE"
    content = None if deletes else _content_of(row, rule.database)
    payload = FileActionPayload(
        table=pair.table, item=pair.item, contents=content is not None, **sent.model_dump(exclude={"contents"})
    )
    kept = payload.model_dump(exclude_none=True) | {"line": row.line}
    return NewItem(FILE_DELETE if deletes else FILE_PUT, pair.key, kept, stored=content)


def _content_of(row: ImportRow, database: str) -> StoredContent | None:
    if row.content is None:
        return None
    stored = open_seal(database, row.content)
    if stored is None:
        raise _RefusedError("content.place", "is none that POST .../contents gave")
    return stored


def _refused(row: ImportRow, kind: str, status: int, errors: list[dict[str, str]]) -> NewItem:
    key = row.item.get("caseAttachment_Key") if isinstance(row.item, dict) else None
    readable = key if type(key) is int and 0 <= key < 2**31 else 0
    record_key = readable if kind == UPSERT else None
    return NewItem(kind, None, _keepable(row), verdict=invalid_verdict(status, errors, record_key))


def _keepable(row: ImportRow) -> dict[str, object]:
    """Return what of a refused row the ledger keeps: its line, and its fields in short."""
    entry: dict[str, Any] = row.item if isinstance(row.item, dict) else {}
    return {"line": row.line} | {name: summarize_errors(entry[name]) for name in _KEPT if name in entry}
