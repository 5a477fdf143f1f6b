"""Make items of a request's entries; their contents are in the body, in sinks, or uploads that they name."""

import binascii
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from uuid import UUID

from api_stub.request.base64_stream import decode
from api_stub.request.content_sink import NOT_BASE64, ContentSink
from schemas.file_attachments import FileActionPayload, FileUpdate, is_blank
from schemas.kinds import FILE_DELETE_ALL, KINDS
from schemas.texts import UNKEEPABLE
from worker.kinds.case_attachment import parse as case_attachment
from worker.kinds.case_attachment.parse import CaseAttachmentOptions
from worker.kinds.content_source import Content
from worker.kinds.file import parse as file
from worker.kinds.file.parse import FileOptions
from worker.kinds.file.replacement import check_replacement
from worker.kinds.file.rows import Collection
from worker.kinds.validation import InvalidEntryError, invalid_verdict
from worker.ledger.model import NewItem
from worker.settings import settings

_OVERLONG = 2049  # characters: more than any field takes
_UPLOAD = "upload:"

Lifted = Mapping[str, ContentSink]
"""The sinks that long strings of a body went to, each by the marker that stands for its string in an entry."""
NOTHING_LIFTED: Lifted = MappingProxyType({})
_NO_OPTIONS = CaseAttachmentOptions()


def parse_case_attachments(entries: Sequence[object], lifted: Lifted = NOTHING_LIFTED) -> list[NewItem]:
    """Return an item for each entry of a batch; the invalid ones have their verdict."""
    return [parse_case_attachment(entry, lifted) for entry in entries]


def parse_case_attachment(
    entry: object, lifted: Lifted = NOTHING_LIFTED, options: CaseAttachmentOptions = _NO_OPTIONS
) -> NewItem:
    """Return the item that creates or replaces one case attachment."""
    if lifted and isinstance(entry, dict):
        content = case_attachment.CONTENT
        entry = {name: value if name == content else _spell_out(value, lifted) for name, value in entry.items()}
    return case_attachment.parse(entry, options, partial(_find_attachment, lifted))


def parse_file_actions(collection: Collection, update: FileUpdate, lifted: Lifted) -> list[NewItem]:
    """Return an item for each action, and before them one that deletes all files if that is asked for."""
    delete_all = FileActionPayload(table=collection.table, item=collection.item, mode="DELETE")
    payload = delete_all.model_dump(exclude_none=True)
    first = [NewItem(FILE_DELETE_ALL, collection.key, payload)] if update.delete_all else []
    options, find_content = FileOptions(collection, offset=len(first)), partial(_find_contents, lifted)
    items = (file.parse(_plain_action(entry, lifted), options, find_content) for entry in update.actions)
    return check_replacement([*first, *items])


def _plain_action(entry: object, lifted: Lifted) -> object:
    """Return the entry of a file without a content that is blank, and without markers in other fields."""
    if not isinstance(entry, dict):
        return entry
    return {
        name: value if name.lower() == file.CONTENT else _spell_out(value, lifted)
        for name, value in entry.items()
        if not (name.lower() == file.CONTENT and is_blank(value))
    }


def _find_attachment(lifted: Lifted, field: str, value: object, *, wanted: bool = True) -> Content | None:
    """Find the content of a case attachment: a base64 string, or ``upload:`` and an id."""
    return _find_text(field, value, lifted) if wanted and value is not None else None


def _find_contents(lifted: Lifted, field: str, value: object, *, wanted: bool = True) -> Content | None:
    """Find the content of a file: ``{"data": base64}`` or ``{"upload": id}``."""
    if value is None or not wanted:
        return None
    if not isinstance(value, dict):
        raise InvalidEntryError(field, 'must be an object such as {"data": "<base64>"}')
    data, upload = value.get("data"), value.get("upload")
    if data is not None and upload is not None:
        raise InvalidEntryError(field, "must have data or upload, not both")
    if upload is not None:
        return _upload_id(f"{field}.upload", upload)
    return None if data is None else _find_text(f"{field}.data", data, lifted)


def _find_text(field: str, value: object, lifted: Lifted) -> Content:
    if not isinstance(value, str):
        raise InvalidEntryError(field, "must be a base64 string or null")
    sink = lifted.get(value)
    if sink is None:
        return _upload_id(field, value) if value.startswith(_UPLOAD) else _decode(field, value)
    if sink.error is not None:
        raise InvalidEntryError(field, sink.error, sink.status)
    content = sink.stored if sink.spooled is None else sink.spooled
    assert content is not None
    return content


def _upload_id(field: str, value: object) -> UUID:
    try:
        return UUID(str(value).removeprefix(_UPLOAD))
    except ValueError as error:
        raise InvalidEntryError(field, "names no upload: 'upload:' and the id that POST /uploads gave") from error


def _decode(field: str, value: str) -> bytes:
    try:
        data = decode(value.encode("ascii"))
    except (binascii.Error, UnicodeEncodeError) as error:
        raise InvalidEntryError(field, NOT_BASE64) from error
    if len(data) > settings().max_content:
        raise InvalidEntryError(field, f"must not be longer than {settings().max_content} bytes decoded", 413)
    return data


def _spell_out(value: object, lifted: Lifted) -> object:
    """Return for a marker a text that is too long for every field, and begins like the string that was sent."""
    sink = lifted.get(value) if isinstance(value, str) else None
    if sink is None:
        return value
    return UNKEEPABLE.sub("\ufffd", sink.head.decode(errors="replace")).ljust(_OVERLONG, "\u2026")


def without_upload(item: NewItem, reason: str) -> NewItem:
    """Return ``item`` refused because the upload it names can't be had."""
    kind = KINDS[item.kind]
    record_key = None if kind.ordered_by == "collection" else item.key or 0
    verdict = invalid_verdict(InvalidEntryError(kind.content_field, reason), record_key)
    return replace(item, key=None, upload_id=None, stored=None, verdict=verdict)
