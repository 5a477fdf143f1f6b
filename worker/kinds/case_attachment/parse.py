"""Parse an entry into the item that creates or replaces one case attachment."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from schemas.case_attachment import NO_CONTENT, CaseAttachment, ContentMode
from schemas.imports import OnConflict
from schemas.kinds import UPSERT
from worker.kinds.content_source import Content, ContentSource, new_item
from worker.kinds.validation import InvalidEntryError, check_object, invalid_verdict, summarize_fields
from worker.ledger.model import NewItem

CONTENT = "attachment"
_NOT_IN_PAYLOAD = {"case_attachment_key", "attachment"}
_NEVER_NULL = {"entry_User", "entry_Date", "update_User", "update_Date"}
_SUMMARIZED = [info.alias or name for name, info in CaseAttachment.model_fields.items() if name != CONTENT]


@dataclass(frozen=True, slots=True)
class CaseAttachmentOptions:
    """What its request or import says of an entry; ``line``: of the manifest that the entry is from."""

    kind: str = UPSERT
    on_conflict: OnConflict = "replace"
    if_match: Sequence[str] = ()
    line: int | None = None


def parse(entry: object, options: CaseAttachmentOptions, find_content: ContentSource) -> NewItem:
    """Return the item that ``entry`` asks for; with a verdict if the entry is invalid."""
    try:
        fields = check_object(entry)
        sent = CaseAttachment.model_validate(fields, by_alias=True, by_name=False)
        content, mode = _find_content(sent, find_content)
    except (ValidationError, InvalidEntryError) as error:
        return invalid_item(entry, options, error)
    return new_item(options.kind, sent.case_attachment_key or None, _payload(sent, mode, options), content)


def _find_content(sent: CaseAttachment, find_content: ContentSource) -> tuple[Content | None, ContentMode | None]:
    """Return the content of an entry, and what becomes of the stored one; no mode if the entry says nothing of it."""
    removes = sent.attachment == NO_CONTENT
    content = find_content(CONTENT, None if removes else sent.attachment)
    if content is None:
        return None, "clear" if removes else "keep" if CONTENT in sent.model_fields_set else None
    if removes:
        raise InvalidEntryError(CONTENT, f"must not be {NO_CONTENT!r} beside a file")
    return content, "set"


def _payload(sent: CaseAttachment, mode: ContentMode | None, options: CaseAttachmentOptions) -> dict[str, Any]:
    """Return what the ledger keeps of an entry and `CaseAttachmentPayload` reads: the fields that were sent."""
    fields = sent.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude=_NOT_IN_PAYLOAD)
    # Dates and users can't be cleared: null is as if they were left out.
    payload = {n: v for n, v in fields.items() if v is not None or n not in _NEVER_NULL} | {"version": 2}
    if mode is not None:
        payload["content"] = mode
    if options.on_conflict != "replace":
        payload["on_conflict"] = options.on_conflict
    if options.if_match:
        payload["if_match"] = list(options.if_match)
    if options.line is not None:
        payload["line"] = options.line
    return payload


def invalid_item(entry: object, options: CaseAttachmentOptions, error: ValidationError | InvalidEntryError) -> NewItem:
    """Return the item of an invalid entry: its verdict, with the key if that can be read, and its fields cut short."""
    key = entry.get("caseAttachment_Key") if isinstance(entry, dict) else None
    record_key = key if type(key) is int and 0 <= key < 2**31 else 0
    line = {} if options.line is None else {"line": options.line}
    payload = line | summarize_fields(entry, _SUMMARIZED)
    return NewItem(UPSERT, None, payload, verdict=invalid_verdict(error, record_key))
