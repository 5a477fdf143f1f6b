"""Parse an entry into the item that adds, replaces or deletes one file."""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ValidationError

from schemas.file_attachments import FileAction, FileActionPayload, Name
from schemas.imports import OnConflict
from schemas.kinds import FILE_DELETE, FILE_PUT
from worker.kinds.content_source import ContentSource, new_item
from worker.kinds.file.rows import Collection
from worker.kinds.validation import InvalidEntryError, check_object, invalid_verdict, summarize_fields
from worker.ledger.model import NewItem

CONTENT = "contentsbase64"
_SUMMARIZED = ("table", "item", "action", "id", "title", "filename", "accessType", "showAsImage")


@dataclass(frozen=True, slots=True)
class FileOptions:
    """What its request or import says of an entry.

    ``collection``: whose file it is; None if the entry itself says that. ``line``: of the manifest that it is from.
    ``offset``: how many items stand before the sent list, such as deleteAll.
    """

    collection: Collection | None = None
    on_conflict: OnConflict = "replace"
    line: int | None = None
    offset: int = 0


def parse(entry: object, options: FileOptions, find_content: ContentSource) -> NewItem:
    """Return the item that ``entry`` asks for; with a verdict if the entry is invalid."""
    try:
        fields = check_object(entry)
        collection = options.collection or _read_collection(fields)
        sent = _read_action(fields, options)
        deletes = sent.mode == "DELETE"
        content = find_content(CONTENT, sent.contents, wanted=not deletes)
    except (ValidationError, InvalidEntryError) as error:
        return invalid_item(entry, options, error)
    payload = _payload(sent, collection, options, has_content=content is not None)
    return new_item(FILE_DELETE if deletes else FILE_PUT, collection.key, payload, content)


def _read_action(entry: Mapping[str, object], options: FileOptions) -> FileAction:
    sent = FileAction.model_validate(entry, by_alias=True, by_name=False)
    if options.on_conflict == "skip" and sent.mode == "NEW-UPDATE":
        sent = sent.model_copy(update={"mode": "NEW-ONLY", "id": None})  # an add ignores the id
    if reason := sent.unnamed():
        raise InvalidEntryError("filename", reason)
    return sent


def _payload(sent: FileAction, collection: Collection, options: FileOptions, *, has_content: bool) -> dict[str, object]:
    """Return what the ledger keeps of an entry and `FileActionPayload` reads."""
    fields = sent.model_dump(exclude={"contents"})
    payload = FileActionPayload(table=collection.table, item=collection.item, contents=has_content, **fields)
    return payload.model_dump(exclude_none=True) | _origin(options)


def _origin(options: FileOptions) -> dict[str, object]:
    """Return where the entry stands in what was sent."""
    line: dict[str, object] = {} if options.line is None else {"line": options.line}
    return line | ({"offset": options.offset} if options.offset else {})


class _CollectionNames(BaseModel):
    table: Name
    item: Name


def _read_collection(entry: Mapping[str, object]) -> Collection:
    names = _CollectionNames.model_validate(entry)
    for field, value in (("table", names.table), ("item", names.item)):
        if value is None:
            raise InvalidEntryError(field, "is required")
    return Collection(names.table or "", names.item or "")


def invalid_item(entry: object, options: FileOptions, error: ValidationError | InvalidEntryError) -> NewItem:
    """Return the item of an invalid entry: its verdict, and its fields cut short."""
    collection = options.collection
    names = {} if collection is None else {"table": collection.table, "item": collection.item}
    payload = _origin(options) | summarize_fields(entry, _SUMMARIZED) | names
    return NewItem(FILE_PUT, None, payload, verdict=invalid_verdict(error))
