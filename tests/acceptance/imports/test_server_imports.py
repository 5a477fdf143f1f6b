"""Imports that the servers read themselves: a manifest in the body or in the store, and files beside it."""

import io
import json
from typing import Any

import httpx
import psycopg
import pytest
from support.case_attachments import fresh_keys
from support.imports import ended
from support.waiting import eventually

from worker.blobs import s3

CSV = {"Content-Type": "text/csv"}


def sent(client: httpx.Client, text: str, **parameters: str) -> httpx.Response:
    return client.post("/imports", params=parameters, content=text.encode(), headers=CSV)


def stored(name: str, data: bytes) -> None:
    s3.put(f"demo/{name}", io.BytesIO(data), len(data))


def test_a_manifest_in_the_body_is_read_by_the_servers(client: httpx.Client) -> None:
    keys = fresh_keys(3)
    lines = [f'{keys[0]},1,"two\nlines"', f"{keys[1]},x,", f"{keys[2]},1,", "1,2"]
    answer = sent(client, "caseAttachment_Key,case_Key,comment\n" + "\n".join(lines), name=f"body {keys[0]}")
    assert answer.status_code == 201
    assert ended(client, answer.json())["counts"] == {"created": 2, "invalid": 2}
    report = client.get(f"{answer.json()['batch']}/report").json()["data"]
    assert [(entry["line"], entry["status"]) for entry in report] == [(2, 201), (4, 422), (5, 201), (6, 400)]


@pytest.mark.usefixtures("server_environment")
def test_manifest_and_files_in_the_store_and_the_second_time_no_byte(client: httpx.Client) -> None:
    keys = fresh_keys(4)
    mark = f"imports/{keys[0]}"
    contents = [b"", b"one", f"two {keys[0]}".encode() * 1000]
    for n, data in enumerate(contents):
        stored(f"{mark}/files/f{n}.txt", data)
    paths = ["f0.txt", "f1.txt", "f2.txt", "../other"]
    # Of case attachments a column "action" is one that nobody knows.
    cells = "".join(f"{key},1,{path},Deleted scan\n" for key, path in zip(keys, paths, strict=True))
    stored(f"{mark}/m.csv", f"caseAttachment_Key,case_Key,attachment_Path,action\n{cells}".encode())
    wanted: dict[str, Any] = {"name": mark, "manifest": f"{mark}/m.csv", "files": f"{mark}/files"}
    opened = client.post("/imports", json=wanted).json()
    assert ended(client, opened)["counts"] == {"created": 3, "invalid": 1}
    for key, data in zip(keys[:3], contents, strict=True):
        assert client.get(f"/case-attachments/{key}/content").content == data
    assert client.post("/imports", json=wanted).json()["id"] == opened["id"], "the same is found again"
    before = client.get(f"/case-attachments/{keys[2]}/content").headers["etag"]
    again = client.post("/imports", json={**wanted, "restart": True}).json()
    assert ended(client, again)["counts"] == {"updated": 3, "invalid": 1}
    assert client.get(f"/case-attachments/{keys[2]}/content").headers["etag"] == before


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ({"manifest": "imports/none.csv"}, "no object"),
        ({"manifest": "blobs/any"}, "below imports/"),
        ({"manifest": "imports/../blobs/any"}, "below imports/"),
        ({"manifest": "imports/none.csv", "folder": "etc"}, "none of the folders"),
    ],
)
def test_what_the_servers_may_not_read_is_refused(client: httpx.Client, wanted: dict[str, str], why: str) -> None:
    answer = client.post("/imports", json={"name": f"refused {wanted}", **wanted})
    assert (answer.status_code, why in answer.json()["error"]["detail"]) == (409, True), answer.text


@pytest.mark.parametrize(
    "wanted",
    [
        {"name": "a\0b"},
        {"name": "a\ud800b"},
        {"fingerprint": "\0"},
        {"manifest": "imports/\0"},
        {"folder": "archive/\0"},
        {"columns": {"\0": "key"}},
    ],
)
def test_text_that_can_not_be_kept_is_refused(client: httpx.Client, wanted: dict[str, object]) -> None:
    answer = client.post("/imports", content=json.dumps({"name": "kept", **wanted}).encode())
    assert answer.status_code == 400, answer.text


@pytest.mark.parametrize("key", [-1, 2**31])
def test_what_is_no_key_is_refused(client: httpx.Client, key: int) -> None:
    assert client.post("/imports/stored", json={"keys": [key]}).status_code == 400


def test_a_manifest_that_is_none_ends_its_import_with_the_reason(client: httpx.Client) -> None:
    answer = sent(client, "a,b,a\n1,2,3\n", name=f"no manifest {fresh_keys()}").json()
    assert ended(client, answer)["counts"] == {}
    assert "twice" in client.get(answer["href"]).json()["error"]


def test_a_manifest_without_the_key_columns_ends_its_import_with_the_reason(client: httpx.Client) -> None:
    answer = sent(client, "key,comment\n1,a\n", name=f"no keys {fresh_keys()}").json()
    assert ended(client, answer)["counts"] == {}
    error = client.get(answer["href"]).json()["error"]
    assert "no column caseAttachment_Key and no case_Key: it has key, comment" in error


# A bug of ours, as the loader meets it: what it appends is refused for no reason that a sender could know.
_BUG = """
CREATE OR REPLACE FUNCTION bug() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN IF NEW.payload ->> 'comment' = 'bug' THEN RAISE EXCEPTION 'a bug'; END IF; RETURN NEW; END $$;
CREATE OR REPLACE TRIGGER bug BEFORE INSERT ON item FOR EACH ROW EXECUTE FUNCTION bug();
"""


@pytest.mark.long
def test_a_bug_that_comes_again_and_again_ends_the_import_and_what_was_read_goes_on(
    client: httpx.Client, demo_db: psycopg.Connection
) -> None:
    keys = fresh_keys(2010)
    rows = "".join(f"{key},1,{'bug' if n == 2005 else ''}\n" for n, key in enumerate(keys))
    demo_db.execute(_BUG)
    try:
        answer = sent(client, f"caseAttachment_Key,case_Key,comment\n{rows}", name=f"bug {keys[0]}").json()
        assert ended(client, answer)["counts"] == {"created": 2000}
    finally:
        demo_db.execute("DROP FUNCTION bug CASCADE")
    told = client.get(answer["href"]).json()
    assert (told["state"], told["nextRow"]) == ("finished", 2000)
    assert "could not be read on, 5 times" in told["error"]
    assert "a bug" in told["error"]


def test_a_transient_bug_costs_the_import_nothing(client: httpx.Client, demo_db: psycopg.Connection) -> None:
    (key,) = fresh_keys()
    demo_db.execute(_BUG)
    answer = sent(client, f"caseAttachment_Key,case_Key,comment\n{key},1,bug\n", name=f"passing bug {key}").json()
    failed = "SELECT 1 FROM loader WHERE batch_id = %s AND failures > 1"
    eventually(lambda: demo_db.execute(failed, [answer["id"]]).fetchone())
    demo_db.execute("DROP FUNCTION bug CASCADE")
    assert ended(client, answer)["counts"] == {"created": 1}
    assert client.get(answer["href"]).json()["error"] is None


@pytest.mark.usefixtures("server_environment")
def test_a_path_that_no_file_can_have_is_its_rows_outcome(client: httpx.Client) -> None:
    keys = fresh_keys(4)
    mark = f"imports/{keys[0]}"
    stored(f"{mark}/files/fine.txt", b"fine")
    lines = [
        f'{{"caseAttachment_Key": {key}, "case_Key": 1, "attachment_Path": "{path}"}}\n'
        for key, path in zip(keys, ["\\ud83d.jpg", "n" * 1100, "/".join(["a" * 300] * 5), "fine.txt"], strict=True)
    ]
    stored(f"{mark}/m.ndjson", "".join(lines).encode())
    opened = client.post("/imports", json={"name": mark, "manifest": f"{mark}/m.ndjson", "files": f"{mark}/files"})
    assert ended(client, opened.json())["counts"] == {"created": 1, "invalid": 3}


def test_the_same_body_with_other_options_is_another_import(client: httpx.Client) -> None:
    (key,) = fresh_keys()
    body, name = f"caseAttachment_Key,case_Key\n{key},1\n", f"options {key}"
    first = sent(client, body, name=name).json()
    assert ended(client, first)["counts"] == {"created": 1}
    assert sent(client, body, name=name).json()["id"] == first["id"]
    other = sent(client, body, name=name, onConflict="skip")
    assert other.status_code == 201
    assert ended(client, other.json())["counts"] == {"skipped": 1}


def test_an_import_that_could_not_be_read_is_begun_anew(client: httpx.Client) -> None:
    name = f"anew {fresh_keys()}"
    first = sent(client, "a,b,a\n1,2,3\n", name=name).json()
    ended(client, first)
    again = sent(client, "a,b,a\n1,2,3\n", name=name)
    assert (again.status_code, again.json()["id"] == first["id"]) == (201, False)
