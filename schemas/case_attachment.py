"""The contract of a case attachment: as sent, as kept in the ledger and as read."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictInt, StrictStr
from pydantic_core import PydanticCustomError

from schemas.imports import OnConflict
from schemas.texts import KEEPABLE

_DATE = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T t](\d\d:\d\d)(?::(\d\d)(?:[.,](\d+))?)? ?(Z|z|UTC|[+-]\d\d(?::?\d\d)?)?)?", re.ASCII
)


def _instant(value: object) -> datetime | None:
    """Parse RFC 3339, and what databases print: blanks for T, UTC, ``+00``, no zone (= UTC), no seconds, no time."""
    if value is None or isinstance(value, datetime):
        return value
    found = _DATE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise PydanticCustomError("date", "must be a date-time such as 2026-11-21T10:00:00Z")
    day, minute, second, fraction, zone = found.groups()
    offset = "+00:00" if zone in (None, "Z", "z", "UTC") else zone
    # Neither Python nor PostgreSQL stores a leap second (RFC 3339 section 5.7): it becomes the second after it.
    leap = second == "60"
    time = f"{minute or '00:00'}:{'59' if leap else second or '00'}"
    try:
        # The database keeps microseconds; finer digits are cut.
        moment = datetime.fromisoformat(f"{day}T{time}.{(fraction or '0')[:6]:0<6}{offset}")
        return (moment + timedelta(seconds=leap)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise PydanticCustomError("date", "must be a date-time that exists, between the years 1 and 9999") from error


Key = Annotated[StrictInt, Field(ge=0, le=2**31 - 1)]
# max_length comes before the validator function: behind one, pydantic counts in Python.
Text20 = Annotated[StrictStr, Field(max_length=20), KEEPABLE]
Text255 = Annotated[StrictStr, Field(max_length=255), KEEPABLE]
Text256 = Annotated[StrictStr, Field(max_length=256), KEEPABLE]
Text500 = Annotated[StrictStr, Field(max_length=500), KEEPABLE]
Text2048 = Annotated[StrictStr, Field(max_length=2048), KEEPABLE]
ContentMode = Literal["set", "clear", "keep"]
Instant = Annotated[datetime | None, BeforeValidator(_instant, json_schema_input_type=str | None)]


_BASE64: dict[str, Any] = {"type": ["string", "null"], "contentEncoding": "base64"}
NO_CONTENT = "none:"
"""What ``attachment`` says to remove the content."""


class CaseAttachment(BaseModel):
    """One case attachment as a client sends it.

    In an update, a field that is left out keeps its value and null clears it. ``attachment`` is base64 (RFC 4648 §4);
    left out or null keeps the stored content, ``none:`` removes it, and an empty text is an empty file. Dates and users
    can't be cleared: ``entry_*`` keep their values, and ``update_*`` become the time of acceptance and the caller.
    """

    model_config = ConfigDict(extra="ignore", populate_by_name=True)

    case_attachment_key: Key = Field(alias="caseAttachment_Key")
    attachment: Any = Field(default=None, json_schema_extra=_BASE64)
    case_key: Key = Field(alias="case_Key")
    attachment_file: Text255 | None = Field(default=None, alias="attachment_File")
    attachment_path: Text500 | None = Field(default=None, alias="attachment_Path")
    case_attachment_type: Text256 | None = Field(default=None, alias="caseAttachment_Type")
    comment: Text2048 | None = None
    entry_user: Text20 | None = Field(default=None, alias="entry_User")
    update_user: Text20 | None = Field(default=None, alias="update_User")
    entry_date: Instant = Field(default=None, alias="entry_Date")
    update_date: Instant = Field(default=None, alias="update_Date")


class CaseAttachmentPayload(BaseModel):
    """The payload in the ledger: the fields that were sent, null apart from left out.

    ``content``: the bytes are set, cleared, or kept though null was sent; without it they are kept. In a payload of
    version 1 a field that is left out is cleared. `case_attachment.parse` wrote the payload, so it only has types:
    checking the rules again took four times as long.
    """

    version: int = 1
    case_key: int = Field(alias="case_Key")
    attachment_file: str | None = Field(default=None, alias="attachment_File")
    attachment_path: str | None = Field(default=None, alias="attachment_Path")
    case_attachment_type: str | None = Field(default=None, alias="caseAttachment_Type")
    comment: str | None = None
    entry_user: str | None = Field(default=None, alias="entry_User")
    update_user: str | None = Field(default=None, alias="update_User")
    entry_date: datetime | None = Field(default=None, alias="entry_Date")
    update_date: datetime | None = Field(default=None, alias="update_Date")
    content: ContentMode | None = None
    if_match: list[str] | None = None
    on_conflict: OnConflict = "replace"


class CaseAttachmentRecord(BaseModel):
    """One case attachment as a client reads it. ``attachment`` is base64, or null if contents were not requested."""

    model_config = ConfigDict(populate_by_name=True)

    case_attachment_key: int = Field(alias="caseAttachment_Key")
    case_key: int = Field(alias="case_Key")
    attachment: str | None = None
    attachment_file: str | None = Field(alias="attachment_File")
    attachment_path: str | None = Field(alias="attachment_Path")
    case_attachment_type: str | None = Field(alias="caseAttachment_Type")
    comment: str | None
    entry_user: str | None = Field(alias="entry_User")
    entry_date: datetime = Field(alias="entry_Date")
    update_user: str | None = Field(alias="update_User")
    update_date: datetime = Field(alias="update_Date")
