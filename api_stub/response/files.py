"""Shape the answers of the file-attachments API."""

from collections.abc import Sequence
from dataclasses import dataclass
from unicodedata import normalize

from fastapi import Request, Response

from api_stub.problems import NOT_A_LIST, NOT_JSON, UNAUTHENTICATED, ProblemType
from api_stub.request.file_urls import url_of
from api_stub.request.preferences import media_type
from api_stub.response import envelopes
from api_stub.response.json_stream import next_mark, with_contents
from schemas.file_attachments import (
    ActionStatus,
    AuthenticationError,
    Contents,
    FileAnswer,
    FileProblem,
    Files,
    FileShown,
    RefusedRequest,
    Result,
    is_blank,
)
from worker.blobs.read import BlobView
from worker.kinds.file.replacement import NOT_CARRIED_OUT
from worker.kinds.file.rows import FoundFile
from worker.ledger.model import NewItem
from worker.ledger.read.report import BatchView, ItemView
from worker.settings import settings

_FAILED_OUTCOMES = ("invalid", "failed", "cancelled")
_OK = Result(type="OK", msg="")


@dataclass(frozen=True, slots=True)
class Done:
    """What became of an update: its batch, its items in order, and what each action is called.

    There is one item more than there are actions if all files were to be deleted first. ``accepted``: the answer
    does not speak of the end, because that has not come or was not to be awaited.
    """

    view: BatchView
    ends: Sequence[ItemView]
    labels: Sequence[str]
    accepted: bool

    @property
    def actions(self) -> Sequence[ItemView]:
        """The items that the sent list asked for."""
        return self.ends[len(self.ends) - len(self.labels) :]


@dataclass(frozen=True, slots=True)
class Asked:
    """What of the files is asked for: which (None: all), and whether with their contents."""

    database: str
    wanted: Sequence[int | str | None] | None
    include: bool


def answer(
    request: Request,
    found: Sequence[FoundFile],
    asked: Asked,
    done: Done | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    """Return the files of an item, as they are now, and what became of an update; contents are streamed.

    Raises:
        StoreUnavailableError: the first content can't be read.

    """
    selected = _select_files(found, asked.wanted)
    include = asked.include and sum(blob.size for _, blob in selected) <= settings().include_file_limit
    marks: dict[str, BlobView] = {}
    for _, blob in selected if include else ():
        marks[next_mark(marks)] = blob
    names: list[str | None] = [*marks] or [None] * len(selected)
    shown = [
        _file_model(request, asked.database, file_and_blob, mark)
        for file_and_blob, mark in zip(selected, names, strict=True)
    ]
    body = FileAnswer(
        fileattachments=Files(files=shown),
        result=_result(done) if done else _OK,
        actions=_actions(done) if done else None,
        batch=envelopes.brief(done.view) if done else None,
    )
    status = 202 if done and done.accepted else 200
    return with_contents(body.model_dump_json(by_alias=True), marks, status, headers, media_type(request))


def _select_files(found: Sequence[FoundFile], wanted: Sequence[int | str | None] | None) -> list[FoundFile]:
    """Return the files with one of the ids, titles or file names that are wanted; all if there is none but blanks."""
    names = {normalize("NFC", name) for name in wanted or () if isinstance(name, str) and not is_blank(name)}
    ids = {number for number in wanted or () if type(number) is int}
    # Twenty digits are no id that we give.
    ids |= {int(name) for name in (n.strip() for n in names) if name.isascii() and name.isdigit() and len(name) < 20}  # noqa: PLR2004
    if not names and not ids:
        return list(found)
    return [
        (file, blob)
        for file, blob in found
        if file.id in ids or not names.isdisjoint({normalize("NFC", file.title), normalize("NFC", file.file_name)})
    ]


def _file_model(request: Request, database: str, found: FoundFile, mark: str | None) -> FileShown:
    file, blob = found
    return FileShown(
        id=file.id,
        title=file.title,
        file_name=file.file_name,
        file_size=blob.size,
        show_as_image=file.show_as_image,
        modified=int(file.modified_at.timestamp()),
        access_type=file.access_type,
        url=url_of(request, database, file),
        contents=None if mark is None else Contents(data=mark),
    )


def label(item: NewItem) -> str:
    """Return the name of the action as answers say it: the documented one, or what was sent instead."""
    said = item.payload.get("mode") or item.payload.get("action")
    return "NEW-UPDATE" if is_blank(said) else str(said)


def _actions(done: Done) -> list[ActionStatus]:
    return [_action(n, end, label) for n, (end, label) in enumerate(zip(done.actions, done.labels, strict=True))]


def _action(position: int, end: ItemView, label: str) -> ActionStatus:
    number = envelopes.ident(end)["value"] or None
    said = envelopes.item_status(end) | {"position": position, "action": label, "id": number}
    return ActionStatus.model_validate(said)


def _result(done: Done) -> Result:
    """Return ERROR as soon as anything has failed: no failure hides in OK, not even in that of an answer at 202."""
    failed = [end for end in done.ends if end.outcome in _FAILED_OUTCOMES]
    if failed:
        offset = len(done.ends) - len(done.labels)
        # Beside a refused deleteAll, the entry at fault.
        shown = next((end for end in failed if not (end.body or "").startswith(NOT_CARRIED_OUT)), failed[0])
        position = shown.position - offset
        first = f"action {position} ({done.labels[position]})" if position >= 0 else "deleteAll"
        msg = f"{shown.body} [{first}; {len(failed)} of {len(done.ends)} failed]"
        return Result(type="ERROR", msg=msg)
    return Result(type="OK", msg="Accepted") if done.accepted else _OK


def problem(
    request: Request,
    type_: ProblemType,
    detail: str,
    headers: dict[str, str] | None = None,
    activity: str | None = None,
) -> Response:
    """Return the answer to a request that is refused whole; a body that is not what it should be is no HTTP error."""
    status = 200 if type_ in (NOT_JSON, NOT_A_LIST) else type_.status
    said = FileProblem(result=Result(type="ERROR", msg=f"{detail} ({activity})" if activity else detail))
    if type_ is UNAUTHENTICATED:
        msg = "Authentication failed"
        query = f"?{request.url.query}" if request.url.query else ""
        url = request.scope["raw_path"].decode("latin-1") + query
        said = FileProblem(
            request=RefusedRequest(url=url),
            error=AuthenticationError(msg=msg),
            result=Result(type="ERROR", msg=msg),
        )
    return envelopes.respond(request, said, status, headers)
