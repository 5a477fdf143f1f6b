"""Imports that the servers read themselves: a manifest in the body or in the store, and files beside it."""

import io
from typing import Any

import httpx
import pytest
from calls import fresh_keys
from manifests import ended

from worker import store

CSV = {"Content-Type": "text/csv"}


def sent(client: httpx.Client, text: str, **parameters: str) -> httpx.Response:
    return client.post("/imports", params=parameters, content=text.encode(), headers=CSV)


def stored(name: str, data: bytes) -> None:
    store.put(f"demo/{name}", io.BytesIO(data), len(data))


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
    cells = "".join(f"{key},1,{path}\n" for key, path in zip(keys, paths, strict=True))
    stored(f"{mark}/m.csv", f"caseAttachment_Key,case_Key,attachment_Path\n{cells}".encode())
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


def test_a_manifest_that_is_none_ends_its_import_with_the_reason(client: httpx.Client) -> None:
    answer = sent(client, "a,b,a\n1,2,3\n", name=f"no manifest {fresh_keys()}").json()
    assert ended(client, answer)["counts"] == {}
    assert "twice" in client.get(answer["href"]).json()["error"]
