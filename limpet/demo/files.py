"""The demo's step for file attachments: a DELETE and a NEW-ONLY in one call, and the files after it."""

import base64
import hashlib
from collections.abc import Mapping

import httpx
from pydantic import BaseModel, Field, ValidationError

from limpet.demo.expectations import UnexpectedError, expect, tell

_ITEM_PATH = "/jsonapi/UpdateFileAttachments/Incidents/48213"
_NOTE = b"The plumber comes on Monday at nine.\n"


class _File(BaseModel):
    id: int
    title: str
    file_name: str = Field(alias="fileName")
    file_size: int = Field(alias="fileSize")
    url: str


class _Files(BaseModel):
    files: list[_File]


class _Result(BaseModel):
    type: str
    msg: str


class _Action(BaseModel):
    action: str
    status: int
    body: str


class _FileAnswer(BaseModel):
    fileattachments: _Files
    result: _Result
    actions: list[_Action]


def show_files(variables: Mapping[str, str]) -> int:
    """Add a draft, then delete it and add a note in one call; return the number of actions.

    Raises:
        UnexpectedError: a result differs from the expected one.

    """
    login = (variables["LIMPET_USER"], variables["LIMPET_PASSWORD"])
    with httpx.Client(base_url=variables["LIMPET_URL"], auth=login, timeout=60, trust_env=False) as http:
        try:
            _update(http, [_make_action("draft.txt", b"To be written.\n")], ["201 Created"])
            deletion: dict[str, object] = {"action": "DELETE", "filename": "draft.txt"}
            answer = _update(http, [deletion, _make_action("note.txt", _NOTE)], ["204 Deleted", "201 Created"])
            _show(http, answer)
        except (httpx.HTTPError, ValidationError) as error:
            raise UnexpectedError(f"{_ITEM_PATH} does not answer as it should: {error}") from error
    return 3


def _make_action(name: str, content: bytes) -> dict[str, object]:
    return {
        "action": "NEW-ONLY",
        "filename": name,
        "title": name.partition(".")[0].capitalize(),
        "contentsbase64": {"data": base64.b64encode(content).decode()},
    }


def _update(http: httpx.Client, actions: list[dict[str, object]], wanted: list[str]) -> _FileAnswer:
    answer = _FileAnswer.model_validate_json(
        http.post(_ITEM_PATH, json={"fileAttachList": actions}).raise_for_status().content
    )
    expect("the result", answer.result.type, "OK")
    expect("how the actions ended", [f"{action.status} {action.body}" for action in answer.actions], wanted)
    return answer


def _show(http: httpx.Client, answer: _FileAnswer) -> None:
    for action in answer.actions:
        tell(f"{action.action:<9}  {action.status}  {action.body}")
    (file,) = answer.fileattachments.files
    tell(f"files of the item now: {file.file_name} ({file.file_size} bytes), titled {file.title!r}; result OK")
    content = http.get(file.url).raise_for_status().content
    expect("the SHA-256 of what its url opens", hashlib.sha256(content).digest(), hashlib.sha256(_NOTE).digest())
    tell("its url opens the same bytes as were sent")
