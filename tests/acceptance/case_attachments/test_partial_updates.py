"""What an update leaves out stays, null clears, and a content is removed only by name."""

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from support.case_attachments import b64, fresh_keys, item, put, read, statuses

FULL = {
    "attachment": b64(b"the bytes"),
    "attachment_File": "note.txt",
    "attachment_Path": "/scans/note.txt",
    "caseAttachment_Type": "letter",
    "comment": "first",
    "entry_User": "eve",
    "entry_Date": "2024-05-01T10:00:00Z",
    "update_User": "eve",
    "update_Date": "2024-05-02T10:00:00Z",
}


def created(client: httpx.Client, **fields: Any) -> int:
    (key,) = fresh_keys()
    assert statuses(put(client, [item(key, **FULL | fields)])) == [201]
    return key


def body_of(answer: httpx.Response) -> str:
    text: str = answer.json()["data"][0]["body"]
    return text


def test_a_field_that_is_left_out_keeps_its_value(client: httpx.Client) -> None:
    key = created(client)
    before = read(client, key)
    assert statuses(put(client, [item(key)])) == [200]
    after = read(client, key)
    of_this_update = ("update_User", "update_Date")
    assert {n: v for n, v in after.items() if n not in of_this_update} == {
        n: v for n, v in before.items() if n not in of_this_update
    }


@pytest.mark.parametrize("field", ["attachment_File", "attachment_Path", "caseAttachment_Type", "comment"])
def test_null_clears_a_field_and_no_other(client: httpx.Client, field: str) -> None:
    key = created(client)
    before = read(client, key)
    assert statuses(put(client, [item(key, **{field: None})])) == [200]
    after = read(client, key)
    assert after[field] is None
    rest = set(FULL) - {field, "update_User", "update_Date"}
    assert {n: after[n] for n in rest} == {n: before[n] for n in rest}


def test_who_and_when_of_an_update_are_of_that_update(client: httpx.Client) -> None:
    key = created(client)
    asked = datetime.now(UTC)
    for fields in ({}, {"update_User": None, "update_Date": None}):
        assert statuses(put(client, [item(key, **fields)])) == [200]
        after = read(client, key)
        assert after["update_User"] == "demo", "the caller's name"
        assert datetime.fromisoformat(after["update_Date"]) >= asked
    assert statuses(put(client, [item(key, update_User="bob", update_Date="2025-01-01T00:00:00Z")])) == [200]
    after = read(client, key)
    assert (after["update_User"], after["update_Date"]) == ("bob", "2025-01-01T00:00:00Z")


def test_null_never_clears_who_entered_a_record_nor_when(client: httpx.Client) -> None:
    key = created(client)
    assert statuses(put(client, [item(key, entry_User=None, entry_Date=None)])) == [200]
    after = read(client, key)
    assert (after["entry_User"], after["entry_Date"]) == ("eve", "2024-05-01T10:00:00Z")


def test_null_in_a_new_record_is_as_if_it_were_left_out(client: httpx.Client) -> None:
    keys = fresh_keys(2)
    nothing = dict.fromkeys(FULL)
    assert statuses(put(client, [item(keys[0], **nothing), item(keys[1])])) == [201, 201]
    with_null, left_out = (read(client, key) for key in keys)
    own = {"caseAttachment_Key"}
    assert {n: v for n, v in with_null.items() if n not in own} == {n: v for n, v in left_out.items() if n not in own}
    assert with_null["entry_User"] == with_null["update_User"] == "demo"
    assert with_null["attachment"] is None


def test_a_null_attachment_keeps_the_stored_bytes_and_says_so(client: httpx.Client) -> None:
    key = created(client)
    answer = put(client, [item(key, attachment=None)])
    assert statuses(answer) == [200]
    assert body_of(answer) == "Updated; attachment was null, so the stored content is kept"
    assert read(client, key)["attachment"] == FULL["attachment"]
    bare = created(client, attachment=None)
    assert body_of(put(client, [item(bare, attachment=None)])) == "Updated", "there is none to keep"


def test_none_removes_the_bytes_and_an_empty_text_is_an_empty_file(client: httpx.Client) -> None:
    key = created(client)
    assert statuses(put(client, [item(key, attachment="")])) == [200]
    assert client.get(f"/case-attachments/{key}/content").content == b""
    assert statuses(put(client, [item(key, attachment="none:")])) == [200]
    assert client.get(f"/case-attachments/{key}/content").status_code == 404
    assert read(client, key)["attachment"] is None
    assert read(client, key)["attachment_File"] == "note.txt"


def test_a_list_that_is_sent_back_loses_nothing(client: httpx.Client) -> None:
    keys = [created(client) for _ in range(3)]
    listed = client.get("/case-attachments", params={"pageSize": 1000, "sortBy": "caseAttachment_Key:desc"}).json()
    ours = [record for record in listed["data"] if record["caseAttachment_Key"] in keys]
    assert len(ours) == 3
    assert all("attachment" not in record for record in ours), "null would say that there is none"
    before = [read(client, key) for key in keys]
    assert set(statuses(put(client, [record | {"comment": "reviewed"} for record in ours]))) == {200}
    assert [read(client, key) for key in keys] == [record | {"comment": "reviewed"} for record in before]


def test_a_list_with_contents_leaves_out_those_that_do_not_fit(client: httpx.Client) -> None:
    key = created(client)
    order: dict[str, str | int] = {"pageSize": 1, "sortBy": "caseAttachment_Key:desc", "include": "attachment"}
    found = client.get("/case-attachments", params=order).json()["data"]
    assert found[0]["caseAttachment_Key"] >= key
    assert "attachment" in found[0], "it was asked for, and it fits"


def test_removing_the_content_keeps_the_record(client: httpx.Client) -> None:
    key = created(client)
    path = f"/case-attachments/{key}/content"
    before = read(client, key)
    etag = client.get(f"/case-attachments/{key}").headers["etag"]
    assert client.delete(path, headers={"If-Match": '"0-0"'}).status_code == 412
    removed = client.delete(path, headers={"If-Match": etag})
    assert (removed.status_code, removed.content) == (204, b"")
    after = read(client, key)
    assert after["attachment"] is None
    changed = {"attachment", "update_User", "update_Date"}
    assert {n: v for n, v in after.items() if n not in changed} == {n: v for n, v in before.items() if n not in changed}
    assert client.get(path).status_code == 404
    assert client.delete(path).status_code == 404, "there is none any more"
    assert client.delete("/case-attachments/2147480000/content").status_code == 404


@pytest.mark.parametrize(
    ("sent", "read_as"),
    [
        ("2024-05-01 10:00:00+00", "2024-05-01T10:00:00Z"),
        ("2024-05-01 10:00:00.5-03", "2024-05-01T13:00:00.500000Z"),
        ("2024-05-01T10:00:00+0530", "2024-05-01T04:30:00Z"),
        ("2024-05-01", "2024-05-01T00:00:00Z"),
        ("2024-05-01 10:30", "2024-05-01T10:30:00Z"),
        ("2024-05-01T10:30Z", "2024-05-01T10:30:00Z"),
        ("2026-11-21 10:00:00 UTC", "2026-11-21T10:00:00Z"),
    ],
)
def test_dates_are_taken_as_databases_print_them(client: httpx.Client, sent: str, read_as: str) -> None:
    key = created(client, entry_Date=sent)
    assert read(client, key)["entry_Date"] == read_as
