"""What the tests say to the API of file attachments, in short."""

import base64
import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx

_fresh = itertools.count(1)


def fresh_item() -> str:
    """The path of an item that no other test uses."""
    return f"Incidents/item {next(_fresh)}"


@contextmanager
def files_client(stack: Mapping[str, str]) -> Iterator[httpx.Client]:
    """A client that sends the name and password of the stack's user."""
    who = (stack["LIMPET_USER"], stack["LIMPET_PASSWORD"])
    with httpx.Client(base_url=stack["LIMPET_URL"], auth=who, timeout=60) as session:
        yield session


def data(content: bytes) -> dict[str, str]:
    return {"data": base64.b64encode(content).decode()}


def send(client: httpx.Client, item: str, actions: list[Any], headers: Any = None, **members: Any) -> httpx.Response:
    body = {"fileAttachList": actions, **members}
    return client.post(f"/jsonapi/UpdateFileAttachments/{item}", json=body, headers=headers)


def update(client: httpx.Client, item: str, *actions: Any, **members: Any) -> dict[str, Any]:
    """The answer to an update that was carried out, whatever became of its actions."""
    answer = send(client, item, list(actions), **members)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    assert told["result"]["type"] in ("OK", "ERROR")
    return told


def add(client: httpx.Client, item: str, name: str, content: bytes = b"x", **fields: Any) -> int:
    """The id of a file that is made here."""
    made = update(client, item, {"action": "NEW-ONLY", "filename": name, "contentsbase64": data(content), **fields})
    assert made["result"] == {"type": "OK", "msg": ""}, made
    number: int = made["actions"][0]["id"]
    return number


def get(client: httpx.Client, item: str, **members: Any) -> list[dict[str, Any]]:
    answer = client.post(f"/jsonapi/GetFileAttachments/{item}", json=members)
    assert answer.status_code == 200, answer.text
    assert answer.json()["result"] == {"type": "OK", "msg": ""}
    found: list[dict[str, Any]] = answer.json()["fileattachments"]["files"]
    return found


def content(file: Mapping[str, Any]) -> bytes:
    return base64.b64decode(file["contentsBase64"]["data"], validate=True)


def ends(answer: Mapping[str, Any]) -> list[tuple[int, str]]:
    """Status and outcome of each action, once their positions are seen to be right."""
    assert [a["position"] for a in answer["actions"]] == list(range(len(answer["actions"])))
    return [(a["status"], a["outcome"]) for a in answer["actions"]]
