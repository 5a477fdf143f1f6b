"""Make items of the rows of an import. An invalid row gets its verdict here and harms no other."""

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from pydantic import ValidationError

from schemas.imports import LAST_LINE, ImportKind, ImportRow, InvalidRow, OnConflict
from worker.blobs.lifecycle import StoredContent
from worker.imports.contents import open_seal
from worker.kinds.case_attachment import parse as case_attachment
from worker.kinds.case_attachment.parse import CaseAttachmentOptions
from worker.kinds.file import parse as file
from worker.kinds.file.parse import FileOptions
from worker.kinds.validation import InvalidEntryError, field_errors, summarize_value
from worker.ledger.model import NewItem


def read_rows(lines: Iterable[bytes]) -> Iterator[ImportRow]:
    """Yield a row for each line of NDJSON; one that is not a row has the reason in its ``flaw``."""
    return map(_read_row, lines)


def _read_row(line: bytes) -> ImportRow:
    try:
        return ImportRow.model_validate_json(line)
    except ValidationError as error:
        found = _read_json(line)
        with suppress(ValidationError):  # a lone surrogate makes one field invalid, not the whole row
            return ImportRow.model_validate(found)
        number = found.get("line") if isinstance(found, dict) else None
        return ImportRow(
            line=number if type(number) is int and 0 <= number <= LAST_LINE else 0,
            flaw=InvalidRow(**field_errors(error)[0], status=400),
        )


def _read_json(line: bytes) -> object:
    """Return what ``line`` says, lone surrogates too; None if it is not JSON."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What all rows of one import have in common, and its database."""

    database: str
    kind: ImportKind = "case-attachments"
    on_conflict: OnConflict = "replace"


def parse_row(row: ImportRow, options: ImportOptions) -> NewItem:
    """Return the item that ``row`` asks for; with a verdict if the row is invalid."""
    find_content = partial(_find_content, row, options.database)
    if options.kind == "files":
        of_file = FileOptions(None, options.on_conflict, row.line)
        if row.flaw is not None:
            return file.invalid_item(row.item, of_file, _sender_error(row.flaw))
        return file.parse(row.item, of_file, find_content)
    of_case = CaseAttachmentOptions(on_conflict=options.on_conflict, line=row.line)
    if row.flaw is not None:
        return case_attachment.invalid_item(row.item, of_case, _sender_error(row.flaw))
    return case_attachment.parse(row.item, of_case, find_content)


def _sender_error(flaw: InvalidRow) -> InvalidEntryError:
    """Return what the sender found wrong with its row, as text that the ledger can keep."""
    message = flaw.message.strip() or "was refused by its sender"
    return InvalidEntryError(f"{summarize_value(flaw.field)}", f"{summarize_value(message)}", flaw.status)


def _find_content(
    row: ImportRow, database: str, field: str, value: object, *, wanted: bool = True
) -> StoredContent | None:
    """Find the content of a row: ``row.content`` says where it is, no field of its item does."""
    if value is not None:
        raise InvalidEntryError(field, "must be left out of an import: contents come from files")
    if row.content is None or not wanted:
        return None
    stored = open_seal(database, row.content)
    if stored is None:
        raise InvalidEntryError("content.place", "is none that POST .../contents gave")
    return stored
