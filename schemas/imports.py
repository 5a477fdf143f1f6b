"""Imports: what opening one says, its rows on their way, and what clients read of it."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from schemas.texts import KEEPABLE, Text

OnConflict = Literal["replace", "skip", "newer"]
ImportKind = Literal["case-attachments", "files"]
LAST_LINE = 2**53
# The length before the function: behind one, pydantic counts in Python.
Where = Annotated[str, Field(max_length=500), KEEPABLE]


class _Model(BaseModel):
    model_config = ConfigDict(populate_by_name=True)


class OpenImport(_Model):
    """The body of ``POST /imports``.

    The same ``name`` finds an import again: with the same ``fingerprint`` it goes on, with another one it is refused
    while the import is not finished, unless ``restart``. With ``manifest`` (an object below ``imports/``) the servers
    read the rows themselves; ``files`` or ``folder`` says where their contents are.
    """

    name: Annotated[str, Field(min_length=1, max_length=1000), KEEPABLE]
    fingerprint: Annotated[str, Field(max_length=200), KEEPABLE] = ""
    kind: ImportKind = "case-attachments"
    on_conflict: OnConflict = Field(default="replace", alias="onConflict")
    rows_per_second: int | None = Field(default=None, alias="rowsPerSecond", ge=1, le=1_000_000)
    restart: bool = False
    manifest: Where | None = None
    files: Where | None = Field(default=None, description="a prefix of the bucket, below imports/")
    folder: Where | None = Field(default=None, description="a folder that the operator allowed, or below")
    columns: dict[Text, Text] = Field(default={}, description="what names in the manifest are to be read as")


class Import(_Model):
    """An import as it stands. ``nextRow`` is how many rows it has taken, and the ``from`` of the next part."""

    id: UUID
    href: str
    batch: str
    name: str
    kind: ImportKind
    next_row: int = Field(alias="nextRow")
    state: Literal["open", "closed", "cancelled", "finished"]
    paused: bool
    resumed: bool = Field(default=False, description="it was there already, and goes on")
    on_conflict: OnConflict = Field(alias="onConflict")
    rows_per_second: int | None = Field(alias="rowsPerSecond")
    manifest: str | None = None
    opened_at: datetime = Field(alias="openedAt")
    error: str | None = None


class ContentName(_Model):
    """A content by what it is: SHA-256 in hex, and how many bytes."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    size: int = Field(ge=0, le=2**53)


class ContentPlace(ContentName):
    """Where a content may go. No ``url``: it is stored already. ``place`` is for the row that brings it."""

    url: str | None = None
    headers: dict[str, str] = {}
    place: str | None = None


class ContentQuery(_Model):
    """The body of ``POST /imports/{id}/contents``."""

    contents: list[ContentName] = Field(max_length=1000)


class ContentAnswer(_Model):
    """One place for each content that was asked for, in that order."""

    contents: list[ContentPlace]


class RowContent(ContentName):
    """The content that a row brings."""

    place: str | None = None


class InvalidRow(_Model):
    """What whoever read the manifest found wrong with a row, before it was sent."""

    field: str = ""
    message: str
    status: int = Field(default=422, ge=400, le=499)


class ImportRow(_Model):
    """One row on its way: its line in the manifest, and its fields, or what is wrong with it."""

    line: int = Field(ge=0, le=LAST_LINE)
    item: Any = None
    content: RowContent | None = None
    flaw: InvalidRow | None = None


class RowsTaken(_Model):
    """The answer to a part: ``next_row`` is the ``from`` of the next one; ``paused``: better wait."""

    next_row: int = Field(alias="nextRow")
    paused: bool


class RefusedRow(_Model):
    """A row that a dry run refuses."""

    line: int
    status: int
    error: str


class Checked(_Model):
    """What a dry run says of a part. ``created`` has the keys of new records, 0 for one that would be generated."""

    created: list[int]
    updated: int
    skipped: int
    valid: int = Field(default=0, description="rows of files that are in order; what they match is not looked up")
    refused: list[RefusedRow]


class StoredRecord(_Model):
    """A record with its content's hash, as ``limpet verify`` compares it."""

    key: int
    fields: dict[str, Any]
    sha256: str | None
    size: int | None


class StoredQuery(_Model):
    """Which records are asked for, by key."""

    keys: list[Annotated[int, Field(ge=0, le=2**31 - 1)]] = Field(max_length=5000)


class StoredAnswer(_Model):
    """The records that exist, by key."""

    records: list[StoredRecord]


class KeysAnswer(_Model):
    """Keys of records, in order."""

    keys: list[int]
