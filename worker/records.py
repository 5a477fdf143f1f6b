"""The records of family A as the table has them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session


@dataclass(frozen=True, slots=True)
class Record:
    """A case attachment as the table has it."""

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


COLUMNS = ", ".join(Record.__dataclass_fields__)
_LOAD = text(f"SELECT {COLUMNS} FROM case_attachment WHERE case_attachment_key = ANY(:keys)")  # noqa: S608  constants
_LOCK = text(f"{_LOAD.text} ORDER BY case_attachment_key FOR UPDATE")


def load(session: Session, keys: Iterable[int], *, lock: bool) -> dict[int, Record]:
    """Return the records that exist among ``keys``."""
    rows = session.execute(_LOCK if lock else _LOAD, {"keys": list(keys)})
    return {row[0]: Record(*row) for row in rows}
