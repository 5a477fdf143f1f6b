"""Read case attachments and write them as JSON; contents are streamed, never held whole."""

from collections.abc import Sequence
from typing import NamedTuple

from fastapi import Request, Response

from api_stub.request.preferences import media_type
from api_stub.response import envelopes
from api_stub.response.json_stream import next_mark, with_contents
from schemas.answers import BatchBrief
from schemas.case_attachment import CaseAttachmentRecord
from worker.blobs.read import BlobView, load_blobs
from worker.database import transaction
from worker.kinds.case_attachment.rows import Record, load_page, load_records


class Found(NamedTuple):
    """A record and its content; ``omitted``: the answer leaves ``attachment`` out, for null would say there is none."""

    record: Record
    blob: BlobView | None
    omitted: bool = False


def read_record(database: str, key: int) -> Found | None:
    """Return the record under ``key`` with its blob, None if there is none."""
    with transaction(database) as session:
        record = load_records(session, [key]).get(key)
        if record is None:
            return None
        return Found(record, load_blobs(session, [record.blob_id]).get(record.blob_id) if record.blob_id else None)


def read_page(database: str, order: Sequence[tuple[str, bool]], number: int, size: int) -> tuple[list[Found], int]:
    """Return one page of records with their blobs, and how many records there are."""
    with transaction(database) as session:
        records, total = load_page(session, order, number, size)
        blobs = load_blobs(session, {r.blob_id for r in records if r.blob_id})
    return [Found(r, blobs.get(r.blob_id) if r.blob_id else None) for r in records], total


def fit_contents(found: Sequence[Found], budget: int) -> list[Found]:
    """Return ``found`` with the blobs that fit into ``budget`` bytes, in order; the other blobs are omitted."""
    shown: list[Found] = []
    for one in found:
        size = one.blob.size if one.blob else 0
        fits = size <= budget
        budget -= size if fits else 0
        shown.append(one if fits else Found(one.record, None, omitted=True))
    return shown


def answer(
    request: Request,
    found: Sequence[Found] | Found,
    status: int = 200,
    headers: dict[str, str] | None = None,
    batch: BatchBrief | None = None,
) -> Response:
    """Return the envelope of one record or of several; a blob that comes with a record is streamed into it as base64.

    Raises:
        StoreUnavailableError: the first content can't be read. Later failures cut the answer off.

    """
    contents: dict[str, BlobView] = {}

    def shown(one: Found) -> dict[str, object]:
        mark = None
        if one.blob is not None:
            contents[mark := next_mark(contents)] = one.blob
        left_out = {"attachment"} if one.omitted else None
        return _record_model(one.record, mark).model_dump(mode="json", by_alias=True, exclude=left_out)

    data = shown(found) if isinstance(found, Found) else [shown(one) for one in found]
    text = envelopes.envelope(data, batch).model_dump_json(by_alias=True)
    return with_contents(text, contents, status, headers, media_type(request))


def _record_model(record: Record, attachment: str | None) -> CaseAttachmentRecord:
    return CaseAttachmentRecord(
        case_attachment_key=record.case_attachment_key,
        case_key=record.case_key,
        attachment=attachment,
        attachment_file=record.attachment_file,
        attachment_path=record.attachment_path,
        case_attachment_type=record.case_attachment_type,
        comment=record.comment,
        entry_user=record.entry_user,
        entry_date=record.entry_date,
        update_user=record.update_user,
        update_date=record.update_date,
    )
