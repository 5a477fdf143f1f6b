"""The URLs of the file-attachments API: a function of a table and an item, in a path or a query, and a file's link."""

from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, unquote

from fastapi import Request

from api_stub.problems import NOT_A_LIST, NOT_FOUND, ProblemError, ProblemType
from schemas.file_attachments import name_error
from worker.kinds.file.rows import Collection, File
from worker.settings import settings

JSON = "/jsonapi/"
PAGES = ("/tmtrack/tmtrack.dll", "/workcenter/tmtrack.dll")


@dataclass(frozen=True, slots=True)
class Call:
    """What a request asks for: the name of the function in lower case, and the collection it is about."""

    function: str
    pair: Collection


@dataclass(frozen=True, slots=True)
class Link:
    """What a file's url names, besides the database."""

    pair: Collection
    id: int


def is_file_path(path: str) -> bool:
    """Return whether ``path`` belongs to the file-attachments API."""
    return path.startswith((JSON, *PAGES))


def read_call(request: Request) -> Call:
    """Return what a request asks for, by ``/jsonapi/function/table/item`` or by ``?JSONPage&JSON_Func=…``.

    Raises:
        ProblemError: it is neither, or a name of it is not one.

    """
    query = _query(request)
    if request.url.path in PAGES:
        parts = [query.get(name, "") for name in ("json_func", "json_p1", "json_p2")]
        if "jsonpage" not in query or query.get("command", "").lower() != "jsonapi" or not all(parts):
            raise ProblemError(NOT_FOUND, "Send JSONPage&command=jsonapi&JSON_Func=…&JSON_P1=table&JSON_P2=item")
    else:
        # A name may hold an encoded slash, so the path is taken apart before it is decoded.
        raw = request.scope["raw_path"].decode("latin-1").partition(JSON)[2].removesuffix("/")
        parts = [unquote(part, errors="surrogateescape") for part in raw.split("/")]
        if len(parts) != 3:  # noqa: PLR2004  the three names that follow
            raise ProblemError(NOT_FOUND, f"Send {JSON}function/table/item")
    function, table, item = parts
    return Call(function.lower(), _read_collection(table, item))


def read_link(request: Request) -> Link | None:
    """Return which file the query of a link names, None if it is not a link.

    Raises:
        ProblemError: it names none.

    """
    query = _query(request)
    if "attachmentpage" not in query:
        return None
    number = query.get("attachmentid", "").partition("/")[0]
    if not (number.isascii() and number.isdigit()):
        raise ProblemError(NOT_FOUND, "A link names its file by AttachmentID=id/name")
    # A program that follows a link reads the status, so here a bad name is no answer at 200.
    return Link(_read_collection(query.get("tableid", ""), query.get("recordid", ""), NOT_FOUND), int(number[:19]))


def link_database(request: Request) -> str | None:
    """Return the database that a link names: a browser sends no header."""
    return _query(request).get("database") if request.url.path in PAGES else None


def url_of(request: Request, database: str, file: File) -> str:
    """Return the absolute url that opens the bytes of ``file``."""
    base = settings().public_url or str(request.base_url)
    names = {"Database": database, "TableID": file.table_name, "RecordID": file.item_name}
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in names.items())
    link = f"AttachmentPage&{query}&AttachmentID={file.id}/{quote(file.file_name, safe='')}"
    return f"{base.rstrip('/')}{PAGES[0]}?{link}"


def _query(request: Request) -> dict[str, str]:
    """Return the query by names in lower case; what is not UTF-8 is there as what `name_error` refuses."""
    members = parse_qsl(request.url.query, keep_blank_values=True, errors="surrogateescape")
    return {name.lower(): value for name, value in members}


def _read_collection(table: str, item: str, type_: ProblemType = NOT_A_LIST) -> Collection:
    for what, name in (("table", table), ("item", item)):
        if reason := name_error(name) if name else "must have at least one character":
            raise ProblemError(type_, f"The {what}'s name {reason}")
    return Collection(table, item)
