"""deleteAll and its list are one wish: if any entry of it is invalid, nothing is done."""

from typing import Any
from uuid import uuid4

import httpx
import pytest
from support.file_attachments import add, content, data, ends, fresh_item, get, send, update

GOOD = {"action": "NEW-ONLY", "filename": "good", "contentsbase64": data(b"good")}
INVALID = (422, "invalid")
BAD: dict[str, Any] = {
    "no base64": {"filename": "a", "contentsbase64": {"data": "%%%"}},
    "an unknown action": {"action": "REPLACE", "filename": "a", "contentsbase64": data(b"x")},
    "no contents": {"action": "NEW-ONLY", "filename": "c"},
    "no name": {"contentsbase64": data(b"x")},
    "an update of nothing": {"action": "UPDATE-ONLY", "filename": "good", "contentsbase64": data(b"x")},
    "an id": {"action": "DELETE", "id": 7},
    "two that match": {"action": "DELETE", "title": "twice"},
    "an upload that is not open": {"filename": "a", "contentsbase64": {"upload": str(uuid4())}},
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_an_invalid_entry_beside_delete_all_refuses_the_whole(files: httpx.Client, bad: dict[str, Any]) -> None:
    item = fresh_item()
    kept = add(files, item, "kept", b"kept")
    twice = [{"title": "twice", "filename": name, "contentsbase64": data(b"x")} for name in "ab"]
    answer = update(files, item, GOOD, *twice, bad, deleteAll=True)
    assert ends(answer) == [INVALID] * 4
    assert answer["result"]["type"] == "ERROR"
    assert "[action 3 " in answer["result"]["msg"]
    *others, named = [action["body"] for action in answer["actions"]]
    assert others == ["Not carried out: deleteAll beside the invalid entry 3"] * 3
    assert "Not carried out" not in named
    assert "by its id" not in named, "the ids of the simulation mean nothing to the sender"
    assert answer["batch"]["counts"] == {"invalid": 5}
    assert [(f["id"], content(f)) for f in get(files, item)] == [(kept, b"kept")]


def test_an_entry_that_is_no_object_refuses_the_whole_with_its_own_status(files: httpx.Client) -> None:
    item = fresh_item()
    add(files, item, "kept")
    answer = update(files, item, 5, GOOD, deleteAll=True)
    assert ends(answer) == [(400, "invalid"), INVALID]
    assert len(get(files, item)) == 1


def test_an_id_is_no_matter_to_an_add(files: httpx.Client) -> None:
    item = fresh_item()
    add(files, item, "old")
    assert update(files, item, GOOD | {"id": 7}, deleteAll=True)["result"]["type"] == "OK"
    assert [f["fileName"] for f in get(files, item)] == ["good"]


def test_more_entries_than_one_transaction_takes_are_refused_beside_delete_all(files: httpx.Client) -> None:
    item = fresh_item()
    add(files, item, "kept")
    answer = send(files, item, [{"action": "DELETE", "filename": "x"}] * 1001, deleteAll=True)
    assert (answer.status_code, answer.json()["result"]["type"]) == (200, "ERROR")
    assert "1000 entries" in answer.json()["result"]["msg"]
    assert "batch" not in answer.json()
    assert [f["fileName"] for f in get(files, item)] == ["kept"]
    assert (
        update(files, item, *[{"action": "DELETE", "filename": "x"}] * 1000, deleteAll=True)["result"]["type"] == "OK"
    )


def test_an_upload_is_not_used_up_by_a_list_that_is_refused(files: httpx.Client, client: httpx.Client) -> None:
    del client
    item = fresh_item()
    opened = files.post("/uploads").json()
    assert httpx.put(opened["url"], content=b"large").status_code == 200
    upload = {"filename": "large", "contentsbase64": {"upload": opened["id"]}}
    assert ends(update(files, item, upload, BAD["no contents"], deleteAll=True)) == [INVALID] * 2
    assert update(files, item, upload, deleteAll=True)["result"]["type"] == "OK"
    assert [(f["fileName"], content(f)) for f in get(files, item)] == [("large", b"large")]
