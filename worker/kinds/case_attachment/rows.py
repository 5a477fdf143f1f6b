"""The rows of case attachments: load them, one page or by key."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import column, func, select, table, text
from sqlalchemy.orm import Session

from schemas.case_attachment import CaseAttachmentPayload


class Record(NamedTuple):
    """A case attachment as the table has it. ``acceptance`` and ``position`` name the item that changed it last."""

    case_attachment_key: int
    case_key: int
    attachment_file: str | None
    attachment_path: str | None
    case_attachment_type: str | None
    comment: str | None
    entry_user: str | None
    entry_date: datetime
    update_user: str | None
    update_date: datetime
    blob_id: int | None
    acceptance: int
    position: int

    @property
    def etag(self) -> str:
        """The validator of this version (RFC 9110 §8.8.3): each change has a place of its own in the order."""
        return f'"{self.acceptance:x}-{self.position:x}"'


def conflict_reason(update_date: datetime, sent: CaseAttachmentPayload) -> str | None:
    """Return why an import leaves a record of that ``update_Date`` as it is, None if it does not."""
    if sent.on_conflict == "skip":
        return "the record is there already"
    if sent.on_conflict == "newer" and (sent.update_date is None or sent.update_date <= update_date):
        return "the record's update_Date is not older"
    return None


FIELDS = Record._fields
COLUMNS = ", ".join(FIELDS)
_LOAD = text(f"SELECT {COLUMNS} FROM case_attachment WHERE case_attachment_key = ANY(CAST(:keys AS int[]))")  # noqa: S608  constants
_LOCK = text(f"{_LOAD.text} ORDER BY case_attachment_key FOR UPDATE")


def load_records(session: Session, keys: Iterable[int], *, lock: bool = False) -> dict[int, Record]:
    """Return the records that exist among ``keys``."""
    # As text: a list costs the driver nearly twice as much.
    rows = session.execute(_LOCK if lock else _LOAD, {"keys": f"{{{','.join(map(str, keys))}}}"})
    return {row[0]: Record._make(row) for row in rows.all()}


_TABLE = table("case_attachment", *(column(name) for name in FIELDS))


def load_page(session: Session, order: Sequence[tuple[str, bool]], number: int, size: int) -> tuple[list[Record], int]:
    """Return page ``number`` (from 1) of all records and how many there are; ``order`` is (field, descending)."""
    total = session.scalar(select(func.count()).select_from(_TABLE)) or 0
    by = [_TABLE.c[name].desc().nulls_last() if down else _TABLE.c[name].asc().nulls_last() for name, down in order]
    wanted = select(_TABLE).order_by(*by, _TABLE.c.case_attachment_key).offset((number - 1) * size).limit(size)
    return [Record._make(row) for row in session.execute(wanted)], total
