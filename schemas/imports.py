"""Imports: the request that opens one, the rows that it takes, and what clients read of it."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from schemas.texts import KEEPABLE, Text

OnConflict = Literal["replace", "skip", "newer"]
ImportKind = Literal["case-attachments", "files"]
EmptyCells = Literal["keep", "clear"]
CLEARABLE = ("attachment_File", "caseAttachment_Type", "comment")
"""The columns that an empty cell clears if it is told to: never keys, dates, users, a path or a content."""
LAST_LINE = 2**53
# max_length comes before the validator function: behind one, pydantic counts in Python.
Where = Annotated[str, Field(max_length=500), KEEPABLE]


class _Model(BaseModel):
    model_config = ConfigDict(populate_by_name=True)


class OpenImport(_Model):
    """The body of ``POST /imports``.

    The same ``name`` with the same ``fingerprint`` resumes an import. With another fingerprint the request is refused
    until that import is finished, unless ``restart`` is set. With ``manifest`` (an object below ``imports/``) the
    servers read the rows themselves; ``files`` or ``folder`` says where the contents are.
    """

    name: Annotated[str, Field(min_length=1, max_length=1000), KEEPABLE]
    fingerprint: Annotated[str, Field(max_length=200), KEEPABLE] = ""
    kind: ImportKind = "case-attachments"
    on_conflict: OnConflict = Field(default="replace", alias="onConflict")
    rows_per_second: int | None = Field(default=None, alias="rowsPerSecond", ge=1, le=1_000_000)
    empty: EmptyCells = Field(default="keep", description="whether an empty cell of a CSV manifest clears its field")
    restart: bool = False
    manifest: Where | None = None
    files: Where | None = Field(default=None, description="a prefix of the bucket, below imports/")
    folder: Where | None = Field(default=None, description="a folder that the operator allowed, or below")
    columns: dict[Text, Text] = Field(default={}, description="what names in the manifest are to be read as")


class Import(_Model):
    """The state of an import. ``nextRow`` is the number of rows taken, and the ``from`` of the next part."""

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
    """The address of a content: its SHA-256 in hex and its size in bytes."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    size: int = Field(ge=0, le=2**53)


class ContentPlace(ContentName):
    """Where to upload a content; without ``url`` it is stored already. Its row sends ``place`` back."""

    url: str | None = None
    headers: dict[str, str] = {}
    place: str | None = None


class ContentQuery(_Model):
    """The body of ``POST /imports/{id}/contents``."""

    contents: list[ContentName] = Field(max_length=1000)


class ContentAnswer(_Model):
    """One place for each content of the query, in its order."""

    contents: list[ContentPlace]


class RowContent(ContentName):
    """The content that a row brings."""

    place: str | None = None


class InvalidRow(_Model):
    """Why the reader of the manifest found a row invalid."""

    field: str = ""
    message: str
    status: int = Field(default=422, ge=400, le=499)


class ImportRow(_Model):
    """One row as an import takes it: its line in the manifest and its fields, or why it is invalid (``flaw``)."""

    line: int = Field(ge=0, le=LAST_LINE)
    item: Any = None
    content: RowContent | None = None
    flaw: InvalidRow | None = None


class RowsTaken(_Model):
    """The answer to a part. ``nextRow`` is the ``from`` of the next part; while ``paused``, a client should wait."""

    next_row: int = Field(alias="nextRow")
    paused: bool


class RefusedRow(_Model):
    """A row that an import would refuse, as a dry run found."""

    line: int
    status: int
    error: str


class Checked(_Model):
    """The verdict of a dry run on some rows. ``created`` has the keys of new records, 0 where one is generated."""

    created: list[int]
    updated: int
    skipped: int
    valid: int = Field(default=0, description="rows of files that are in order; what they match is not looked up")
    refused: list[RefusedRow]


class StoredRecord(_Model):
    """A record with the hash of its content, for ``limpet verify`` to compare."""

    key: int
    fields: dict[str, Any]
    sha256: str | None
    size: int | None


class StoredQuery(_Model):
    """The keys of the wanted records."""

    keys: list[Annotated[int, Field(ge=0, le=2**31 - 1)]] = Field(max_length=5000)


class StoredAnswer(_Model):
    """The wanted records that exist, ordered by key."""

    records: list[StoredRecord]


class KeysAnswer(_Model):
    """Keys of records, in ascending order."""

    keys: list[int]
