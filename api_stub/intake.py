"""From what was sent to items for the ledger: family A. A bad item gets its verdict here and harms no other."""

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from api_stub.content_sink import NOT_BASE64, ContentSink
from schemas.case_attachment import CaseAttachment, CaseAttachmentPayload
from schemas.kinds import UPSERT
from worker.ledger.accept import NewItem
from worker.settings import settings
from worker.stored import Stored
from worker.verdicts import Verdict

_SPACE = re.compile(r"[ \t\r\n]+")
_UNKEEPABLE = re.compile("[\0\ud800-\udfff]")
_OVERLONG = 2049  # characters: more than any field takes

_UPLOAD = "upload:"

Lifted = Mapping[str, ContentSink]
_NOTHING: Lifted = MappingProxyType({})


class RefusedError(Exception):
    """One item can't be taken: which field, why, and the status that says so."""

    def __init__(self, field: str, message: str, status: int = 422) -> None:
        super().__init__(f"{field}: {message}")
        self.field, self.message, self.status = field, message, status


def items(sent: Sequence[object], lifted: Lifted = _NOTHING) -> list[NewItem]:
    """Return an item for each entry of a batch, the bad ones with their verdict.

    ``lifted`` has what long strings say, by the marker that stands in ``sent`` for each.
    """
    return [upsert(entry, lifted=lifted) for entry in sent]


def upsert(entry: object, kind: str = UPSERT, lifted: Lifted = _NOTHING, **extra: Any) -> NewItem:
    """Return the item that creates or replaces one case attachment; ``extra`` goes into its payload."""
    if not isinstance(entry, dict):
        name = type(entry).__name__
        return _refused(
            entry, 400, [{"field": "", "message": f"must be a JSON object, not {_JSON_NAMES.get(name, name)}"}]
        )
    if lifted:
        entry = {name: value if name == "attachment" else _spelled_out(value, lifted) for name, value in entry.items()}
    try:
        sent = CaseAttachment.model_validate(entry)
        content = _content(entry.get("attachment"), lifted)
    except ValidationError as wrong:
        return _refused(entry, 422, [_field_error(dict(error)) for error in wrong.errors(include_url=False)])
    except RefusedError as wrong:
        return _refused(entry, wrong.status, [{"field": wrong.field, "message": wrong.message}])
    mode = "set" if content is not None else "clear" if "attachment" in entry else "keep"
    payload = CaseAttachmentPayload.model_validate({**sent.model_dump(), "content": mode, **extra})
    return NewItem(
        kind=kind,
        key=sent.case_attachment_key or None,
        payload=payload.model_dump(mode="json", by_alias=True, exclude_defaults=True),
        content=content if isinstance(content, bytes) else None,
        stored=content if isinstance(content, Stored) else None,
        upload_id=content if isinstance(content, UUID) else None,
    )


def _spelled_out(value: object, lifted: Lifted) -> object:
    """Return for a marker a text that is too long for every field, and begins like the one that was sent."""
    sink = lifted.get(value) if isinstance(value, str) else None
    if sink is None:
        return value
    return _UNKEEPABLE.sub("\ufffd", sink.head.decode(errors="replace")).ljust(_OVERLONG, "\u2026")


def _content(value: object, lifted: Lifted) -> bytes | Stored | UUID | None:
    """Return the content that ``value`` spells or stands for: bytes, where they are in the store, or an upload."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise RefusedError("attachment", "must be a base64 string or null")
    sink = lifted.get(value)
    if sink is None:
        return _upload_id(value) if value.startswith(_UPLOAD) else _decoded(value)
    if sink.error is not None:
        raise RefusedError("attachment", sink.error, sink.status)
    return sink.stored if sink.data is None else sink.data


def _upload_id(value: str) -> UUID:
    try:
        return UUID(value.removeprefix(_UPLOAD))
    except ValueError as wrong:
        raise RefusedError("attachment", "names no upload: 'upload:' and the id that POST /uploads gave") from wrong


def _decoded(value: str) -> bytes:
    """Decode base64 (RFC 4648 §4); line breaks, which MIME encoders make, are left out."""
    try:
        data = base64.b64decode(_SPACE.sub("", value), validate=True)
    except (binascii.Error, ValueError) as wrong:
        raise RefusedError("attachment", NOT_BASE64) from wrong
    if len(data) > settings().max_content:
        raise RefusedError("attachment", f"must not be longer than {settings().max_content} bytes decoded", 413)
    return data


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
    "string_type": "must be a string or null",
    "greater_than_equal": "must be 0 or more",
    "less_than_equal": "must be at most 2147483647",
}


def _field_error(error: dict[str, Any]) -> dict[str, str]:
    message = _MESSAGES.get(error["type"], error["msg"])
    if error["type"] in ("string_too_long", "too_long"):
        message = f"must not be longer than {error['ctx']['max_length']} characters"
    return {"field": ".".join(str(part) for part in error["loc"]), "message": message}


def _refused(entry: object, status: int, errors: list[dict[str, str]]) -> NewItem:
    key = entry.get("caseAttachment_Key") if isinstance(entry, dict) else None
    readable = key if type(key) is int and 0 <= key < 2**31 else 0
    return NewItem(UPSERT, None, _keepable(entry), verdict=_invalid(readable, status, errors))


def _invalid(key: int, status: int, errors: Sequence[dict[str, str]]) -> Verdict:
    body = "; ".join(f"{e['field']} {e['message']}".strip() for e in errors)
    return Verdict("invalid", status, body, "after-fix", key, tuple(errors))


def without_upload(item: NewItem, reason: str) -> NewItem:
    """Return ``item`` refused because the upload it names can't be had."""
    verdict = _invalid(item.key or 0, 422, [{"field": "attachment", "message": reason}])
    return replace(item, key=None, upload_id=None, stored=None, verdict=verdict)


def _keepable(entry: object) -> dict[str, object]:
    """Return what of a refused entry the ledger keeps for whoever mends it: its fields in short, no content."""
    if not isinstance(entry, dict):
        return {}
    fields = [f.alias or name for name, f in CaseAttachmentPayload.model_fields.items()]
    return {name: _short(entry[name]) for name in ["caseAttachment_Key", *fields] if name in entry}


def _short(value: object) -> object:
    if value is None or isinstance(value, bool | int):
        return value
    text = value if isinstance(value, str) else repr(value)[:300]
    return _UNKEEPABLE.sub("\ufffd", text[:300])
