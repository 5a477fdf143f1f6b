"""Family B: file actions on an item, and what is read back."""

import time
import uuid
from typing import Any

import httpx
import pytest
from support.file_attachments import add, content, data, ends, fresh_item, get, update

CREATED, UPDATED, DELETED, SKIPPED = (201, "created"), (200, "updated"), (204, "deleted"), (200, "skipped")
UNKNOWN, AMBIGUOUS, INVALID = (404, "failed"), (409, "failed"), (422, "invalid")
_ADDED = (CREATED, INVALID)  # with contents, without
# By action: what it does to a file named by its id, by its name, to an absent one, an unknown id, one of two.
DECISIONS: dict[str, list[Any]] = {
    "NEW-ONLY": [_ADDED, SKIPPED, _ADDED, _ADDED, AMBIGUOUS],
    "UPDATE-ONLY": [UPDATED, UPDATED, SKIPPED, UNKNOWN, AMBIGUOUS],
    "NEW-UPDATE": [UPDATED, UPDATED, _ADDED, UNKNOWN, AMBIGUOUS],
    "DELETE": [DELETED, DELETED, SKIPPED, UNKNOWN, AMBIGUOUS],
}
SITUATIONS = ["by id", "by name", "absent", "unknown id", "ambiguous"]


@pytest.mark.parametrize("with_contents", [True, False], ids=["contents", "no contents"])
@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("action", DECISIONS)
def test_an_action_does_what_the_decision_table_says(
    files: httpx.Client,
    action: str,
    situation: str,
    with_contents: bool,  # noqa: FBT001  a parameter
) -> None:
    item = fresh_item()
    first = add(files, item, "there.txt", b"old", title="one")
    if situation == "ambiguous":
        add(files, item, "there.txt", b"old", title="two")
    situations: dict[str, dict[str, Any]] = {
        "by id": {"id": first, "filename": "renamed.txt"},
        "by name": {"filename": "there.txt"},
        "absent": {"filename": "absent.txt"},
        "unknown id": {"id": 10**15, "filename": "absent.txt"},
        "ambiguous": {"filename": "there.txt"},
    }
    sent = situations[situation]
    expected = DECISIONS[action][SITUATIONS.index(situation)]
    end = expected[0 if with_contents else 1] if expected is _ADDED else expected
    before = get(files, item)
    answer = update(
        files, item, {"action": action, **sent, **({"contentsbase64": data(b"new")} if with_contents else {})}
    )
    assert ends(answer) == [end]
    assert answer["actions"][0]["action"] == action
    assert answer["result"]["type"] == ("ERROR" if end in (UNKNOWN, AMBIGUOUS, INVALID) else "OK")
    after = {file["fileName"]: content(file) for file in get(files, item)}
    if end is CREATED:
        assert after == {"there.txt": b"old", sent["filename"]: b"new"}
    elif end is UPDATED:
        assert after == {sent["filename"]: b"new" if with_contents else b"old"}
    elif end is DELETED:
        assert after == {}
    else:
        assert get(files, item) == before


@pytest.mark.parametrize(
    ("spelling", "meaning"),
    [
        ("delete", "DELETE"),
        ("DELETE-FILE", "DELETE"),
        ("Delete-Object", "DELETE"),
        ("new-Only", "NEW-ONLY"),
        (" update-only ", "UPDATE-ONLY"),
        ("", "NEW-UPDATE"),
        (None, "NEW-UPDATE"),
        ("new-update", "NEW-UPDATE"),
    ],
)
def test_actions_are_taken_in_every_spelling(files: httpx.Client, spelling: str | None, meaning: str) -> None:
    item = fresh_item()
    add(files, item, "a")
    answer = update(files, item, {"action": spelling, "filename": "a"})
    assert answer["actions"][0]["action"] == meaning
    assert answer["result"]["type"] == "OK"


def test_an_added_file_shows_all_that_was_sent_and_the_defaults(files: httpx.Client) -> None:
    item, before = fresh_item(), int(time.time())
    answer = update(
        files,
        item,
        {
            "filename": "abc.txt",
            "title": "abc",
            "contentsBase64": data(b"x" * 70),
            "accessType": "attachaccess-unrestricted",
            "showAsImage": "TRUE",
        },
        {"filename": "b.txt", "title": " ", "contentsbase64": data(b""), "accessType": "", "showAsImage": ""},
    )
    one, two = answer["fileattachments"]["files"]
    assert one.pop("url").endswith(f"AttachmentID={one['id']}/abc.txt")
    assert before - 5 <= one.pop("modificationDateTime") <= int(time.time()) + 5
    assert one == {
        "id": answer["actions"][0]["id"],
        "title": "abc",
        "fileName": "abc.txt",
        "fileSize": 70,
        "showAsImage": True,
        "accessType": "ATTACHACCESS-UNRESTRICTED",
    }
    assert (two["title"], two["accessType"], two["showAsImage"], two["fileSize"]) == (
        "b.txt",
        "ATTACHACCESS-DEFAULT",
        False,
        0,
    )
    batch = answer["batch"]
    assert (batch["state"], batch["href"]) == ("finished", f"/batches/{batch['id']}")


def test_an_update_without_contents_changes_metadata_only(files: httpx.Client) -> None:
    item = fresh_item()
    number = add(files, item, "a.txt", b"kept", title="t", accessType="ATTACHACCESS-RESTRICTED", showAsImage=True)
    update(
        files, item, {"action": "UPDATE-ONLY", "id": str(number), "title": "new", "accessType": "", "showAsImage": ""}
    )
    (file,) = get(files, item)
    assert (file["title"], file["fileName"], content(file)) == ("new", "a.txt", b"kept")
    assert (file["accessType"], file["showAsImage"]) == ("ATTACHACCESS-RESTRICTED", True)


@pytest.mark.parametrize("wrong", [-1, 1.5, True, "x1", [1], "9" * 30])
def test_an_id_that_is_no_number_or_digits_makes_its_action_invalid(files: httpx.Client, wrong: Any) -> None:
    answer = update(files, fresh_item(), {"action": "DELETE", "id": wrong})
    assert ends(answer) == [INVALID]
    assert answer["result"]["msg"].startswith("id must be")


@pytest.mark.parametrize("any_id", [5, -1, "x1", True])
def test_an_add_may_send_any_id(files: httpx.Client, any_id: Any) -> None:
    item = fresh_item()
    number = add(files, item, "a", id=any_id)
    assert ends(update(files, item, {"action": "NEW-ONLY", "id": any_id, "filename": "a"})) == [SKIPPED]
    assert [file["id"] for file in get(files, item)] == [number]


@pytest.mark.parametrize("blank", [0, "0", "", " ", None])
def test_a_blank_id_means_by_name(files: httpx.Client, blank: Any) -> None:
    item = fresh_item()
    add(files, item, "a")
    assert ends(update(files, item, {"action": "DELETE", "id": blank, "filename": "a"})) == [DELETED]


def test_an_id_of_another_item_is_unknown(files: httpx.Client) -> None:
    number = add(files, fresh_item(), "a")
    answer = update(files, fresh_item(), {"action": "DELETE", "id": number})
    assert ends(answer) == [UNKNOWN]
    assert answer["result"]["type"] == "ERROR"
    assert "Could not read specified record by ID" in answer["result"]["msg"]


@pytest.mark.parametrize("yes", [True, "true", "TRUE", "True"])
@pytest.mark.parametrize("no", [False, "false", "", None])
def test_booleans_come_as_strings_too_and_blank_is_the_default(files: httpx.Client, yes: Any, no: Any) -> None:
    item = fresh_item()
    add(files, item, "a")
    kept = update(files, item, deleteAll=no, includeFile=yes)["fileattachments"]["files"]
    assert [content(file) for file in kept] == [b"x"]
    assert "contentsBase64" not in get(files, item, includeFile="False")[0]
    assert "contentsBase64" in get(files, item, includeFile="")[0]
    gone = update(files, item, deleteAll=yes, includeFile=no)
    assert (gone["fileattachments"]["files"], gone["actions"]) == ([], [])


def test_a_boolean_that_is_none_changes_nothing(files: httpx.Client) -> None:
    item = fresh_item()
    add(files, item, "a")
    for members in ({"deleteAll": "yes"}, {"deleteAll": 1}, {"includeFile": "x"}, {"fileAttachFilter": "a"}):
        answer = update(files, item, {"action": "DELETE", "filename": "a"}, **members)
        assert answer["result"]["type"] == "ERROR"
        assert next(iter(members)) in answer["result"]["msg"]
        assert "batch" not in answer
    assert len(get(files, item)) == 1


def test_delete_all_comes_before_the_list_and_is_not_in_it(files: httpx.Client) -> None:
    item = fresh_item()
    for name in ("a", "b"):
        add(files, item, name, b"old")
    answer = update(
        files,
        item,
        {"action": "DELETE", "filename": "a"},
        {"action": "NEW-ONLY", "filename": "b", "contentsbase64": data(b"new")},
        deleteAll="true",
    )
    assert ends(answer) == [SKIPPED, CREATED]
    assert [a["action"] for a in answer["actions"]] == ["DELETE", "NEW-ONLY"]
    assert [(f["fileName"], content(f)) for f in get(files, item)] == [("b", b"new")]
    assert answer["batch"]["counts"] == {"created": 1, "deleted": 1, "skipped": 1}
    again = update(files, item, deleteAll=True)
    assert (again["result"], again["actions"]) == ({"type": "OK", "msg": ""}, [])
    assert update(files, item, deleteAll=True)["result"]["type"] == "OK"


def test_bad_actions_are_named_and_the_others_are_done(files: httpx.Client) -> None:
    item = fresh_item()
    good = {"action": "NEW-ONLY", "filename": "good", "contentsbase64": data(b"x")}
    answer = update(
        files,
        item,
        "no object",
        good,
        {"action": "REPLACE", "filename": "a"},
        {"filename": "a", "contentsbase64": {"data": "***"}},
        {"filename": "a" * 256, "contentsbase64": data(b"x")},
        {"filename": 5},
        {"filename": "a", "accessType": "EVERYBODY"},
        {"filename": "a", "showAsImage": "maybe"},
        {"filename": "a", "contentsbase64": "eA=="},
        {"action": "NEW-ONLY", "contentsbase64": data(b"x")},
        {"action": "DELETE"},
        {"filename": "a", "contentsbase64": {"data": "eA==", "upload": str(uuid.uuid4())}},
        {"filename": "a", "contentsbase64": {"upload": str(uuid.uuid4())}},
        good | {"filename": "last"},
    )
    outcomes = ends(answer)
    assert outcomes[0] == (400, "invalid")
    assert [n for n, end in enumerate(outcomes) if end == CREATED] == [1, 13]
    assert {end for n, end in enumerate(outcomes) if n not in (0, 1, 13)} == {INVALID}
    assert answer["result"]["type"] == "ERROR"
    assert "must be a JSON object" in answer["result"]["msg"]
    assert "12 of 14" in answer["result"]["msg"]
    fields = ["action", "contentsbase64", "filename", "filename", "accessType", "showAsImage", "contentsbase64"]
    assert all(a["body"].startswith(f) for a, f in zip(answer["actions"][2:9], fields, strict=True))
    assert [f["fileName"] for f in get(files, item)] == ["good", "last"]
