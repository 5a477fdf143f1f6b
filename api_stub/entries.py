"""What the intakes of both families share: the content of an entry, and what is said of a bad one."""

import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any
from uuid import UUID

from api_stub.content_sink import NOT_BASE64, ContentSink, decode
from schemas.kinds import FILE_KINDS
from worker.ledger.accept import NewItem
from worker.settings import settings
from worker.stored import Spooled, Stored
from worker.verdicts import Verdict

_UNKEEPABLE = re.compile("[\0\ud800-\udfff]")
_OVERLONG = 2049  # characters: more than any field takes
_UPLOAD = "upload:"

Lifted = Mapping[str, ContentSink]
NOTHING_LIFTED: Lifted = MappingProxyType({})


class RefusedError(Exception):
    """One entry can't be taken: which field, why, and the status that says so."""

    def __init__(self, field: str, message: str, status: int = 422) -> None:
        super().__init__(f"{field}: {message}")
        self.field, self.message, self.status = field, message, status


def content_of(field: str, value: object, lifted: Lifted) -> bytes | Spooled | Stored | UUID:
    """Return the content that ``value`` of ``field`` spells or stands for: bytes, where they are, or an upload.

    Raises:
        RefusedError: it is no base64, or too long.

    """
    if not isinstance(value, str):
        raise RefusedError(field, "must be a base64 string or null")
    sink = lifted.get(value)
    if sink is None:
        return upload_id(field, value) if value.startswith(_UPLOAD) else _decoded(field, value)
    if sink.error is not None:
        raise RefusedError(field, sink.error, sink.status)
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
        raise RefusedError(field, "names no upload: 'upload:' and the id that POST /uploads gave") from wrong


def _decoded(field: str, value: str) -> bytes:
    try:
        data = decode(value.encode("ascii"))
    except (binascii.Error, UnicodeEncodeError) as wrong:
        raise RefusedError(field, NOT_BASE64) from wrong
    if len(data) > settings().max_content:
        raise RefusedError(field, f"must not be longer than {settings().max_content} bytes decoded", 413)
    return data


def spelled_out(value: object, lifted: Lifted) -> object:
    """Return for a marker a text that is too long for every field, and begins like the one that was sent."""
    sink = lifted.get(value) if isinstance(value, str) else None
    if sink is None:
        return value
    return _UNKEEPABLE.sub("\ufffd", sink.head.decode(errors="replace")).ljust(_OVERLONG, "\u2026")


_JSON_NAMES = {
    "str": "a string",
    "int": "a number",
    "float": "a number",
    "list": "an array",
    "NoneType": "null",
    "bool": "a boolean",
}
_MESSAGES = {
    "missing": "is required",
    "int_type": "must be an integer",
    "list_type": "must be an array",
    "string_type": "must be a string or null",
    "greater_than_equal": "must be 0 or more",
    "less_than_equal": "must be at most 2147483647",
}


def not_an_object(entry: object) -> str:
    """Return what is wrong with an entry that is not a JSON object."""
    name = type(entry).__name__
    return f"must be a JSON object, not {_JSON_NAMES.get(name, name)}"


def field_error(error: Mapping[str, Any]) -> dict[str, str]:
    """Return one of pydantic's errors as clients read it."""
    message = _MESSAGES.get(error["type"], error["msg"])
    if error["type"] in ("string_too_long", "too_long"):
        message = f"must not be longer than {error['ctx']['max_length']} characters"
    return {"field": ".".join(str(part) for part in error["loc"]), "message": message}


def invalid(status: int, errors: Sequence[dict[str, str]], record_key: int | None = None) -> Verdict:
    """Return the verdict on an entry that breaks a rule; its sender can mend it."""
    body = "; ".join(f"{e['field']} {e['message']}".strip() for e in errors)
    return Verdict("invalid", status, body, "after-fix", record_key, tuple(errors))


def in_short(value: object) -> object:
    """Return what the ledger keeps of a field of a refused entry, for whoever mends it."""
    if value is None or isinstance(value, bool | int):
        return value
    text = value if isinstance(value, str) else repr(value)[:300]
    return _UNKEEPABLE.sub("\ufffd", text[:300])


def without_upload(item: NewItem, reason: str) -> NewItem:
    """Return ``item`` refused because the upload it names can't be had."""
    field, record_key = ("contentsbase64", None) if item.kind in FILE_KINDS else ("attachment", item.key or 0)
    verdict = invalid(422, [{"field": field, "message": reason}], record_key)
    return replace(item, key=None, upload_id=None, stored=None, verdict=verdict)
