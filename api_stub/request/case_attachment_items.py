"""From what was sent to items for the ledger: family A. A bad item gets its verdict here and harms no other."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from api_stub.request.entry_content import (
    NOTHING_LIFTED,
    InvalidEntryError,
    Lifted,
    content_of,
    field_error,
    in_short,
    invalid,
    not_an_object,
    spelled_out,
)
from schemas.case_attachment import CaseAttachment, CaseAttachmentPayload, ContentMode
from schemas.kinds import UPSERT
from worker.blobs.lifecycle import StoredContent
from worker.blobs.spool import Spooled
from worker.ledger.model import NewItem


def items(sent: Sequence[object], lifted: Lifted = NOTHING_LIFTED) -> list[NewItem]:
    """Return an item for each entry of a batch, the bad ones with their verdict.

    ``lifted`` has what long strings say, by the marker that stands in ``sent`` for each.
    """
    return [upsert(entry, lifted=lifted) for entry in sent]


def upsert(entry: object, kind: str = UPSERT, lifted: Lifted = NOTHING_LIFTED, **extra: Any) -> NewItem:
    """Return the item that creates or replaces one case attachment; ``extra`` goes into its payload."""
    if not isinstance(entry, dict):
        return _refused(entry, 400, [{"field": "", "message": not_an_object(entry)}])
    if lifted:
        entry = {name: value if name == "attachment" else spelled_out(value, lifted) for name, value in entry.items()}
    try:
        sent = CaseAttachment.model_validate(entry, by_alias=True, by_name=False)
        sent_content = entry.get("attachment")
        content = None if sent_content is None else content_of("attachment", sent_content, lifted)
    except ValidationError as wrong:
        return _refused(entry, 422, [field_error(dict(error)) for error in wrong.errors(include_url=False)])
    except InvalidEntryError as wrong:
        return _refused(entry, wrong.status, [{"field": wrong.field, "message": wrong.message}])
    mode: ContentMode = "set" if content is not None else "clear" if "attachment" in entry else "keep"
    return NewItem(
        kind=kind,
        key=sent.case_attachment_key or None,
        payload=sent.kept(mode) | extra,
        content=content if isinstance(content, bytes | Spooled) else None,
        stored=content if isinstance(content, StoredContent) else None,
        upload_id=content if isinstance(content, UUID) else None,
    )


def _refused(entry: object, status: int, errors: list[dict[str, str]]) -> NewItem:
    key = entry.get("caseAttachment_Key") if isinstance(entry, dict) else None
    readable = key if type(key) is int and 0 <= key < 2**31 else 0
    return NewItem(UPSERT, None, _keepable(entry), verdict=invalid(status, errors, readable))


def _keepable(entry: object) -> dict[str, object]:
    """Return what of a refused entry the ledger keeps for whoever mends it: its fields in short, no content."""
    if not isinstance(entry, dict):
        return {}
    fields = [f.alias or name for name, f in CaseAttachmentPayload.model_fields.items()]
    return {name: in_short(entry[name]) for name in ["caseAttachment_Key", *fields] if name in entry}
