"""What an upsert or a delete does to one record: a pure function."""

from typing import TypeVar

from pydantic import TypeAdapter

from schemas.case_attachment import CaseAttachmentPayload
from schemas.kinds import CREATE, DELETE, DELETE_CONTENT
from worker.kinds.case_attachment.rows import Record, conflict_reason
from worker.ledger.open_items import OpenItem
from worker.verdicts import CREATED, DELETED, UPDATED, Verdict

T = TypeVar("T")


def step(record: Record | None, item: OpenItem, key: int) -> tuple[Record | None, Verdict]:
    """Return what ``item`` makes of ``record`` (the one under ``key``, if any), and the verdict."""
    if item.kind == DELETE:
        if record is None:
            return None, Verdict("failed", 404, f"No case attachment {key} to delete", record_key=key)
        return _guarded(record, item) or (None, DELETED.on(key))
    if item.kind == DELETE_CONTENT:
        if record is None or record.blob_id is None:
            return record, Verdict("failed", 404, f"No case attachment {key} with content", record_key=key)
        return _guarded(record, item) or (_without_content(record, item), _CONTENT_REMOVED.on(key))
    if item.kind == CREATE and record is not None:
        return record, Verdict("failed", 409, f"Case attachment {key} exists already; PUT updates it", record_key=key)
    return _guarded(record, item) or _upsert(record, item, key)


def _guarded(record: Record | None, item: OpenItem) -> tuple[Record | None, Verdict] | None:
    """Return the refusal if ``If-Match`` names another version (RFC 9110 §13.1.1), None if it does not."""
    wanted = item.payload.get("if_match")
    if wanted is None or (record is not None and (wanted == ["*"] or record.etag in wanted)):
        return None
    key = record.case_attachment_key if record else item.key
    text_ = "If-Match: the record was changed since it was read; read it again and send what is still wanted"
    return record, Verdict("failed", 412, text_, "after-fix", record_key=key)


_payload = TypeAdapter(CaseAttachmentPayload)
_CONTENT_REMOVED = UPDATED._replace(body="Updated: the content was removed")
_CONTENT_KEPT = UPDATED._replace(body="Updated; attachment was null, so the stored content is kept")


def _without_content(record: Record, item: OpenItem) -> Record:
    return record._replace(
        blob_id=None,
        update_user=item.caller[:20],
        update_date=item.accepted_at,
        acceptance=item.acceptance,
        position=item.position,
    )


def _upsert(record: Record | None, item: OpenItem, key: int) -> tuple[Record, Verdict]:
    sent = _payload.validate_python(item.payload)
    if record is not None and (why := conflict_reason(record.update_date, sent)):
        return record, Verdict("skipped", 200, f"Skipped: {why}", record_key=key)
    caller = item.caller[:20]
    if sent.content == "set" and item.blob_id is None:
        raise RuntimeError("content is to be set, and none is stored")
    older = sent.version == 1
    kept = None if older else record
    sets = sent.model_fields_set
    after = Record(
        case_attachment_key=key,
        case_key=sent.case_key,
        attachment_file=kept.attachment_file if kept and "attachment_file" not in sets else sent.attachment_file,
        attachment_path=kept.attachment_path if kept and "attachment_path" not in sets else sent.attachment_path,
        case_attachment_type=(
            kept.case_attachment_type if kept and "case_attachment_type" not in sets else sent.case_attachment_type
        ),
        comment=kept.comment if kept and "comment" not in sets else sent.comment,
        entry_user=_given(sent.entry_user, record.entry_user if record else caller),
        entry_date=_given(sent.entry_date, record.entry_date if record else item.accepted_at),
        update_user=_given(sent.update_user, None if record and older else caller),
        update_date=_given(sent.update_date, item.accepted_at),
        blob_id=record.blob_id if record and sent.content in (None, "keep") else item.blob_id,
        acceptance=item.acceptance,
        position=item.position,
    )
    if record is None:
        return after, CREATED.on(key)
    return after, (_CONTENT_KEPT if sent.content == "keep" and record.blob_id is not None else UPDATED).on(key)


def _given(value: T | None, otherwise: T) -> T:
    return otherwise if value is None else value
