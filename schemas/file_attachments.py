"""The contract of the file attachments of an item: as sent, as kept in the ledger and as read."""

import unicodedata
from types import NoneType
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo
from pydantic_core import PydanticCustomError

from schemas.answers import AnswerModel, BatchBrief, Outcome, Retry

Mode = Literal["NEW-ONLY", "UPDATE-ONLY", "NEW-UPDATE", "DELETE"]
AccessType = Literal["ATTACHACCESS-DEFAULT", "ATTACHACCESS-RESTRICTED", "ATTACHACCESS-UNRESTRICTED"]

MAX_NAME_LENGTH = 255
_MAX_ID = 2**63 - 1
_MODES: dict[str, Mode] = {
    "": "NEW-UPDATE",
    "NEW-ONLY": "NEW-ONLY",
    "UPDATE-ONLY": "UPDATE-ONLY",
    "NEW-UPDATE": "NEW-UPDATE",
    "DELETE": "DELETE",
    "DELETE-FILE": "DELETE",
    "DELETE-OBJECT": "DELETE",
}


def is_blank(value: object) -> bool:
    """Return whether ``value`` is null or a string of white space only."""
    return value is None or (isinstance(value, str) and not value.strip())


def name_error(name: str) -> str | None:
    """Return why ``name`` can't name a table, an item or a file, None if it can."""
    if len(name) > MAX_NAME_LENGTH:
        return f"must not be longer than {MAX_NAME_LENGTH} characters"
    # Cc: U+0000 to U+001F and U+007F to U+009F; Cs: half of a surrogate pair, which is not text.
    forbidden = next((c for c in name if unicodedata.category(c) in ("Cc", "Cs")), None)
    return None if forbidden is None else f"must not contain the control character U+{ord(forbidden):04X}"


def _mode(value: object) -> Mode:
    if value is None:
        return "NEW-UPDATE"
    found = _MODES.get(value.strip().upper()) if isinstance(value, str) else None
    if found is None:
        raise PydanticCustomError("action", f"must be one of {', '.join(name for name in _MODES if name)}, or blank")
    return found


def _access(value: object) -> object:
    return None if is_blank(value) else value.strip().upper() if isinstance(value, str) else value


def _boolean(value: object) -> bool | None:
    if is_blank(value):
        return None
    if isinstance(value, bool):
        return value
    word = value.strip().lower() if isinstance(value, str) else ""
    if word not in ("true", "false"):
        raise PydanticCustomError("boolean", 'must be true or false, "true" or "false", or blank')
    return word == "true"


def _id(value: object, info: ValidationInfo) -> int | None:
    # An action that adds a file ignores its id, so any value is valid.
    if is_blank(value) or info.data.get("mode") == "NEW-ONLY":
        return None
    number = value if type(value) is int else None
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit():
        number = int(value.strip()[:400])
    if number is None or not 0 <= number <= _MAX_ID:
        raise PydanticCustomError("id", f"must be a number or digits, from 0 to {_MAX_ID}, or blank")
    return number or None


def _name(value: object) -> str | None:
    if is_blank(value):
        return None
    if not isinstance(value, str):
        raise PydanticCustomError("name", "must be a string or null")
    if error := name_error(value):
        raise PydanticCustomError("name", error)
    return value


def _file_name(value: object) -> str | None:
    # Some browsers send C:\fakepath\a.pdf, and the folder is not part of a file's name.
    if is_blank(value) or not isinstance(value, str):
        return _name(value)
    name = value.replace("\\", "/").rpartition("/")[2]
    if is_blank(name):
        raise PydanticCustomError("name", "must have a name after its last / or \\")
    return _name(name)


def _filter(value: object) -> object:
    if value is not None and not (isinstance(value, list) and all(type(v) in (int, str, NoneType) for v in value)):
        raise PydanticCustomError("filter", "must be a list of ids, titles and file names")
    return value


Boolean = Annotated[bool | None, BeforeValidator(_boolean, json_schema_input_type=bool | str | None)]
Name = Annotated[str | None, BeforeValidator(_name, json_schema_input_type=str | None)]
FileName = Annotated[str | None, BeforeValidator(_file_name, json_schema_input_type=str | None)]
FileId = Annotated[int | None, BeforeValidator(_id, json_schema_input_type=int | str | None)]


class _Sent(BaseModel):
    model_config = ConfigDict(extra="ignore", populate_by_name=True)


class FileAction(_Sent):
    """One entry of ``fileAttachList``. Null and blank mean: not given."""

    mode: Annotated[Mode, BeforeValidator(_mode, json_schema_input_type=str | None)] = Field(
        default="NEW-UPDATE", alias="action"
    )
    id: FileId = None
    title: Name = None
    file_name: FileName = Field(default=None, alias="filename")
    contents: Any = Field(
        default=None,
        validation_alias=AliasChoices("contentsbase64", "contentsBase64"),
        json_schema_extra={
            "type": ["object", "null"],
            "properties": {
                "data": {"type": "string", "contentEncoding": "base64"},
                "upload": {"type": "string", "format": "uuid"},
            },
        },
    )
    access_type: Annotated[AccessType | None, BeforeValidator(_access, json_schema_input_type=str | None)] = Field(
        default=None, alias="accessType"
    )
    show_as_image: Boolean = Field(default=None, alias="showAsImage")

    def unnamed(self) -> str | None:
        """Return why ``filename`` is required, None if it is given or not required."""
        if self.title or self.file_name or self.id:
            return None
        return f"is required {'to add a file' if self.mode == 'NEW-ONLY' else 'unless an id or a title names the file'}"


class FileQuery(_Sent):
    """The body of GetFileAttachments; every member is optional."""

    include_file: Boolean = Field(default=None, alias="includeFile")
    wanted: Annotated[list[int | str | None] | None, BeforeValidator(_filter)] = Field(
        default=None, alias="fileAttachFilter", strict=True
    )


class FileUpdate(FileQuery):
    """The body of UpdateFileAttachments."""

    actions: list[Any] = Field(alias="fileAttachList", json_schema_extra={"items": FileAction.model_json_schema()})
    delete_all: Boolean = Field(default=None, alias="deleteAll")


class FileActionPayload(BaseModel):
    """The payload of one action in the ledger, without values that were not given. ``contents``: it brings bytes."""

    table: str
    item: str
    mode: Mode = "NEW-UPDATE"
    contents: bool = False
    id: int | None = None
    title: str | None = None
    file_name: str | None = None
    access_type: AccessType | None = None
    show_as_image: bool | None = None


class Contents(AnswerModel):
    """The bytes of a file, in base64 (RFC 4648 section 4)."""

    data: str


class FileShown(AnswerModel):
    """One file of an item. ``modificationDateTime`` is Unix time in seconds; ``url`` opens the bytes."""

    id: int
    title: str
    file_name: str = Field(alias="fileName")
    file_size: int = Field(alias="fileSize")
    show_as_image: bool = Field(alias="showAsImage")
    modified: int = Field(alias="modificationDateTime")
    access_type: AccessType = Field(alias="accessType")
    url: str
    contents: Contents | None = Field(
        default=None, alias="contentsBase64", exclude_if=lambda contents: contents is None
    )


class Files(AnswerModel):
    """The files of one item, by id."""

    files: list[FileShown]


class Result(AnswerModel):
    """How a request as a whole ended; ``msg`` names the first failure and the number of failures."""

    type: Literal["OK", "ERROR"]
    msg: str


class ActionStatus(AnswerModel):
    """How one action ended, or that it is ``pending`` (202); ``position`` is its index in the sent list."""

    position: int
    action: str
    id: int | None
    status: int
    body: str
    outcome: Outcome
    retry: Retry


class FileAnswer(AnswerModel):
    """The answer of both functions; only an update has ``actions`` and ``batch``."""

    fileattachments: Files
    result: Result
    actions: list[ActionStatus] | None = Field(default=None, exclude_if=lambda actions: actions is None)
    batch: BatchBrief | None = Field(default=None, exclude_if=lambda batch: batch is None)


class AuthenticationError(AnswerModel):
    """Says that the credentials are invalid, and for safety nothing more."""

    type: Literal["authentication"] = "authentication"
    msg: str


class RefusedRequest(AnswerModel):
    """The request that was refused."""

    url: str


class FileProblem(AnswerModel):
    """A request that is refused as a whole; ``request`` and ``error`` are set if the credentials are invalid."""

    request: RefusedRequest | None = Field(default=None, exclude_if=lambda request: request is None)
    error: AuthenticationError | None = Field(default=None, exclude_if=lambda error: error is None)
    result: Result
