"""What the intakes of both families share: the content of an entry, and what is said of a bad one."""

import binascii
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from uuid import UUID

from api_stub.request.base64_stream import decode
from api_stub.request.content_sink import NOT_BASE64, ContentSink
from schemas.kinds import KINDS
from schemas.texts import UNKEEPABLE
from worker.blobs.lifecycle import StoredContent
from worker.blobs.spool import Spooled
from worker.kinds import validation
from worker.ledger.model import NewItem
from worker.settings import settings

_OVERLONG = 2049  # characters: more than any field takes
_UPLOAD = "upload:"

Lifted = Mapping[str, ContentSink]
NOTHING_LIFTED: Lifted = MappingProxyType({})

field_error, in_short = validation.field_error, validation.summarize_errors
invalid, not_an_object = validation.invalid_verdict, validation.not_an_object


class InvalidEntryError(Exception):
    """One entry can't be taken: which field, why, and the status that says so."""

    def __init__(self, field: str, message: str, status: int = 422) -> None:
        super().__init__(f"{field}: {message}")
        self.field, self.message, self.status = field, message, status


def content_of(field: str, value: object, lifted: Lifted) -> bytes | Spooled | StoredContent | UUID:
    """Return the content that ``value`` of ``field`` spells or stands for: bytes, where they are, or an upload.

    Raises:
        RefusedError: it is no base64, or too long.

    """
    if not isinstance(value, str):
        raise InvalidEntryError(field, "must be a base64 string or null")
    sink = lifted.get(value)
    if sink is None:
        return upload_id(field, value) if value.startswith(_UPLOAD) else _decoded(field, value)
    if sink.error is not None:
        raise InvalidEntryError(field, sink.error, sink.status)
    found = sink.stored if sink.spooled is None else sink.spooled
    assert found is not None
    return found


def upload_id(field: str, value: object) -> UUID:
    """Return the id of the upload that ``value`` names, with or without ``upload:`` before it.

    Raises:
        RefusedError: it names none.

    """
    try:
        return UUID(str(value).removeprefix(_UPLOAD))
    except ValueError as wrong:
        raise InvalidEntryError(field, "names no upload: 'upload:' and the id that POST /uploads gave") from wrong


def _decoded(field: str, value: str) -> bytes:
    try:
        data = decode(value.encode("ascii"))
    except (binascii.Error, UnicodeEncodeError) as wrong:
        raise InvalidEntryError(field, NOT_BASE64) from wrong
    if len(data) > settings().max_content:
        raise InvalidEntryError(field, f"must not be longer than {settings().max_content} bytes decoded", 413)
    return data


def spelled_out(value: object, lifted: Lifted) -> object:
    """Return for a marker a text that is too long for every field, and begins like the one that was sent."""
    sink = lifted.get(value) if isinstance(value, str) else None
    if sink is None:
        return value
    return UNKEEPABLE.sub("\ufffd", sink.head.decode(errors="replace")).ljust(_OVERLONG, "\u2026")


def without_upload(item: NewItem, reason: str) -> NewItem:
    """Return ``item`` refused because the upload it names can't be had."""
    kind = KINDS[item.kind]
    record_key = None if kind.ordered_by == "collection" else item.key or 0
    verdict = invalid(422, [{"field": kind.content_field, "message": reason}], record_key)
    return replace(item, key=None, upload_id=None, stored=None, verdict=verdict)
