"""Read records of family A in the shape of its contract."""

import base64
from collections.abc import Iterable

from schemas.case_attachment import CaseAttachmentRecord
from worker.contents import BlobView, blob
from worker.database import transaction
from worker.records import Record, load


def read_record(database: str, key: int) -> tuple[Record, BlobView | None] | None:
    """Return the record under ``key`` with its blob, None if there is none."""
    with transaction(database) as session:
        record = load(session, [key], lock=False).get(key)
        if record is None:
            return None
        return record, None if record.blob_id is None else blob(session, record.blob_id)


def record_json(record: Record, content: BlobView | None) -> CaseAttachmentRecord:
    """Return the record as a client reads it, with its content in base64 if one is given."""
    return CaseAttachmentRecord(
        case_attachment_key=record.case_attachment_key,
        case_key=record.case_key,
        attachment=None if content is None else _base64(content.read()),
        attachment_file=record.attachment_file,
        attachment_path=record.attachment_path,
        case_attachment_type=record.case_attachment_type,
        comment=record.comment,
        entry_user=record.entry_user,
        entry_date=record.entry_date,
        update_user=record.update_user,
        update_date=record.update_date,
    )


def _base64(pieces: Iterable[bytes]) -> str:
    return base64.b64encode(b"".join(pieces)).decode("ascii")
