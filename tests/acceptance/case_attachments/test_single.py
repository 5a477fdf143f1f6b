"""The other paths of family A: one record at a time, lists, contents."""

import hashlib
import json
import os
import uuid
from typing import Any

import httpx
import psycopg
import pytest
from support.case_attachments import b64, fresh_keys, item, put, read, statuses


def test_post_creates_and_refuses_a_known_key(client: httpx.Client) -> None:
    (key,) = fresh_keys()
    made = client.post("/case-attachments", json=item(key, comment="one", attachment=b64(b"abc")))
    assert made.status_code == 201
    assert made.json()["data"] == read(client, key)
    assert made.json()["data"]["attachment"] == b64(b"abc")
    assert made.headers["etag"] == client.get(f"/case-attachments/{key}").headers["etag"]
    again = client.post("/case-attachments", json=item(key))
    assert (again.status_code, again.json()["data"]) == (409, None)
    assert again.json()["error"]["status"] == 409
    generated = client.post("/case-attachments", json=item(0))
    assert generated.json()["data"]["caseAttachment_Key"] > 0


def test_put_creates_then_updates_under_the_key_of_the_path(client: httpx.Client) -> None:
    (key,) = fresh_keys()
    assert client.put(f"/case-attachments/{key}", json={"case_Key": 3}).status_code == 201
    again = client.put(f"/case-attachments/{key}", json=item(key, comment="new"))
    assert (again.status_code, again.json()["data"]["comment"]) == (200, "new")
    other = client.put(f"/case-attachments/{key}", json=item(key + 1))
    assert other.status_code == 400
    assert "caseAttachment_Key" in other.json()["error"]["detail"]


def test_an_invalid_single_write_answers_with_its_status_and_names_the_field(client: httpx.Client) -> None:
    answer = client.post("/case-attachments", json={"caseAttachment_Key": 0, "case_Key": "x"})
    assert (answer.status_code, answer.json()["data"]) == (422, None)
    assert answer.json()["error"]["errors"][0]["field"] == "case_Key"
    assert client.post("/case-attachments", json=[]).status_code == 400


def test_if_match_guards_against_a_lost_update(client: httpx.Client) -> None:
    (key,) = fresh_keys()
    old = client.put(f"/case-attachments/{key}", json={"case_Key": 1}).headers["etag"]
    new = client.put(f"/case-attachments/{key}", json={"case_Key": 2}, headers={"If-Match": old})
    assert new.status_code == 200
    lost = client.put(f"/case-attachments/{key}", json={"case_Key": 3}, headers={"If-Match": old})
    assert (lost.status_code, lost.json()["data"]) == (412, None)
    assert read(client, key)["case_Key"] == 2
    assert client.delete(f"/case-attachments/{key}", headers={"If-Match": old}).status_code == 412
    assert client.delete(f"/case-attachments/{key}", headers={"If-Match": new.headers["etag"]}).status_code == 204
    assert client.put(f"/case-attachments/{key}", json={"case_Key": 1}, headers={"If-Match": "*"}).status_code == 412
    assert client.put(f"/case-attachments/{key}", json={"case_Key": 1}, headers={"If-Match": "x"}).status_code == 400


def test_delete_removes_once(client: httpx.Client) -> None:
    (key,) = fresh_keys()
    put(client, [item(key, attachment=b64(b"x"))])
    gone = client.delete(f"/case-attachments/{key}")
    assert (gone.status_code, gone.content) == (204, b"")
    again = client.delete(f"/case-attachments/{key}")
    assert (again.status_code, again.json()["error"]["status"]) == (404, 404)
    assert client.get(f"/case-attachments/{key}").status_code == 404
    assert client.get(f"/case-attachments/{key}/content").status_code == 404


def test_a_single_write_that_is_not_awaited_answers_202_with_its_batch(client: httpx.Client) -> None:
    (key,) = fresh_keys()
    answer = client.put(f"/case-attachments/{key}", json={"case_Key": 1}, headers={"Prefer": "respond-async"})
    assert answer.status_code in (201, 202)
    if answer.status_code == 202:
        assert answer.json()["data"] is None
        assert answer.headers["location"] == answer.json()["batch"]["href"]
    done = client.get(answer.json()["batch"]["href"], headers={"Prefer": "wait=20"}).json()
    assert done["counts"] == {"created": 1}


def test_the_list_pages_sorts_and_counts(acme: httpx.Client) -> None:
    keys = fresh_keys(7)
    cases = [2**31 - 2, 2**31 - 1]  # so that ours come first, whatever else is there
    put(acme, [item(k, case_Key=cases[n % 2], comment=str(n), attachment=b64(bytes([n]))) for n, k in enumerate(keys)])
    sort = {"pageSize": "1000", "sortBy": "case_Key:desc,comment"}
    whole = acme.get("/case-attachments", params=sort)
    mine = [r["comment"] for r in whole.json()["data"] if r["caseAttachment_Key"] in keys]
    assert mine == ["1", "3", "5", "0", "2", "4", "6"]
    assert all("attachment" not in r for r in whole.json()["data"]), "null would say that there is none"
    total = json.loads(whole.headers["x-pagination"])["TotalCount"]
    page = acme.get("/case-attachments", params={"page": 2, "pageSize": 3})
    assert json.loads(page.headers["x-pagination"]) == {
        "TotalCount": total,
        "TotalPages": -(-total // 3),
        "CurrentPage": 2,
        "PageSize": 3,
    }
    got = [r["caseAttachment_Key"] for r in page.json()["data"]]
    everything = [r["caseAttachment_Key"] for r in acme.get("/case-attachments?pageSize=1000").json()["data"]]
    assert everything == sorted(everything)
    assert got == everything[3:6]
    full = acme.get("/case-attachments", params={**sort, "include": "attachment"}).json()["data"]
    assert {r["comment"]: r["attachment"] for r in full if r["caseAttachment_Key"] in keys} == {
        str(n): b64(bytes([n])) for n in range(7)
    }


def test_an_empty_file_is_left_out_of_a_list_like_any_other_content(acme: httpx.Client) -> None:
    (key,) = fresh_keys()
    put(acme, [item(key, case_Key=2**31 - 1, attachment="")])
    listed = {"pageSize": "1000", "sortBy": "case_Key:desc"}
    for include, expected in (("", "left out"), ("attachment", "")):
        found = acme.get("/case-attachments", params={**listed, "include": include}).json()["data"]
        assert [r.get("attachment", "left out") for r in found if r["caseAttachment_Key"] == key] == [expected]


@pytest.mark.parametrize(
    "query", ["page=0", "pageSize=1001", "pageSize=x", "sortBy=nonsense", "sortBy=case_Key:up", "include=all"]
)
def test_a_wrong_list_parameter_is_named(client: httpx.Client, query: str) -> None:
    answer = client.get(f"/case-attachments?{query}")
    assert answer.status_code == 400
    assert query.partition("=")[0] in answer.json()["error"]["detail"]


def test_contents_answer_ranges_and_conditions(client: httpx.Client) -> None:
    (key,) = fresh_keys()
    data = bytes(range(256)) * 40
    put(client, [item(key, attachment=b64(data), attachment_File='a/b/réport "1".pdf')])
    path = f"/case-attachments/{key}/content"

    def get(**headers: str) -> httpx.Response:
        return client.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    whole = get()
    assert (whole.status_code, whole.content) == (200, data)
    assert whole.headers["content-type"] == "application/pdf"
    assert whole.headers["content-disposition"].startswith(
        "attachment; filename=\"r_port _1_.pdf\"; filename*=UTF-8''r%C3%A9port"
    )
    head = client.head(path)
    assert (head.status_code, head.headers["content-length"], head.content) == (200, str(len(data)), b"")
    ranged = client.head(path, headers={"Range": "bytes=10-19"})
    assert (ranged.status_code, ranged.headers["content-length"]) == (200, str(len(data))), "only GET has ranges"
    some = get(Range="bytes=10-19")
    assert (some.status_code, some.content) == (206, data[10:20])
    assert some.headers["content-range"] == f"bytes 10-19/{len(data)}"
    assert get(Range="bytes=-5").content == data[-5:]
    assert get(Range="bytes=10000-").content == data[10000:]
    assert get(Range="bytes=99999-").status_code == 416
    assert get(Range="lines=1-2").status_code == 200
    etag = whole.headers["etag"]
    assert get(If_None_Match=etag).status_code == 304
    assert get(If_None_Match='"other"').status_code == 200
    assert get(Range="bytes=0-1", If_Range='"other"').status_code == 200
    assert get(Range="bytes=0-1", If_Range=etag).status_code == 206
    assert get(Accept="application/xml").status_code == 200


@pytest.mark.parametrize("path", ["/case-attachments/abc", "/case-attachments/-1", "/batches/xyz"])
def test_a_malformed_path_is_400_and_an_unknown_one_404(client: httpx.Client, path: str) -> None:
    answer: Any = client.get(path)
    assert answer.status_code == 400
    assert client.get("/nothing/here").status_code == 404
    assert client.get("/nothing/here").json()["error"]["status"] == 404


def test_large_content_goes_past_the_api_by_a_presigned_upload_used_once(client: httpx.Client) -> None:
    one, two, three = fresh_keys(3)
    data = os.urandom(3 * 2**20)
    upload = client.post("/uploads").json()
    early = put(client, [item(one, attachment=upload["attachment"])])
    assert statuses(early) == [422]
    assert "no content yet" in early.json()["data"][0]["body"]
    assert httpx.put(upload["url"], content=data).status_code == 200
    answer = put(client, [item(one, attachment=upload["attachment"]), item(two, attachment=upload["attachment"])])
    assert statuses(answer) == [201, 422]
    assert "used already" in answer.json()["data"][1]["body"]
    assert client.get(f"/case-attachments/{one}/content").content == data
    assert httpx.put(upload["url"], content=b"overwritten later").status_code == 200
    assert client.get(f"/case-attachments/{one}/content").content == data
    for wrong in (upload["attachment"], "upload:nonsense", f"upload:{uuid.uuid4()}"):
        assert statuses(put(client, [item(three, attachment=wrong)])) == [422]


def test_an_upload_is_bound_to_its_database(client: httpx.Client, acme: httpx.Client) -> None:
    upload = client.post("/uploads").json()
    httpx.put(upload["url"], content=b"demo's")
    assert statuses(put(acme, [item(*fresh_keys(), attachment=upload["attachment"])])) == [422]


def test_equal_content_is_stored_once(client: httpx.Client, demo_db: psycopg.Connection) -> None:
    data = os.urandom(5000)
    put(client, [item(k, attachment=b64(data)) for k in fresh_keys(40)])
    put(client, [item(k, attachment=b64(data)) for k in fresh_keys(3)])
    stored = demo_db.execute("SELECT count(*) FROM blob WHERE sha256 = %s", [hashlib.sha256(data).digest()])
    assert stored.fetchone() == (1,)


@pytest.mark.parametrize("name", ["data:a/\u20ac,x", "data:text/html,x", "http://x/y.pdf", "." * 200, "x.\u20ac"])
def test_no_file_name_breaks_its_content(client: httpx.Client, name: str) -> None:
    (key,) = fresh_keys()
    assert statuses(put(client, [item(key, attachment=b64(b"x"), attachment_File=name)])) == [201]
    answer = client.get(f"/case-attachments/{key}/content")
    assert (answer.status_code, answer.content) == (200, b"x")
    assert "html" not in answer.headers["content-type"]


def test_hostile_headers_are_answered_at_once(client: httpx.Client) -> None:
    (key,) = fresh_keys()
    href = put(client, [item(key, attachment=b64(b"x"))]).json()["batch"]["href"]
    assert client.get(href, headers={"Prefer": "a" + " " * 7000 + "!"}, timeout=5).status_code == 200
    answer = client.get(f"/case-attachments/{key}/content", headers={"Range": f"bytes={'9' * 5000}-"})
    assert answer.status_code in (200, 416)


@pytest.mark.parametrize("named", [True, 1.0, "1", pytest.param("1" * 3_000_000, id="large")])
def test_a_key_in_the_body_that_is_no_integer_is_refused(client: httpx.Client, named: object) -> None:
    answer = client.put("/case-attachments/1", json={"caseAttachment_Key": named, "case_Key": 1})
    assert (answer.status_code, answer.json()["error"]["detail"]) == (
        400,
        "caseAttachment_Key must be 1 as in the path, or left out",
    )


def test_only_the_documented_names_of_members_count(client: httpx.Client) -> None:
    (key,) = fresh_keys()
    answer = put(client, [{"caseAttachment_Key": key, "case_key": 7}])
    assert statuses(answer) == [422]
    assert answer.json()["data"][0]["errors"][0]["field"] == "case_Key"


def test_a_write_that_was_accepted_is_no_error_because_its_record_can_not_be_read(
    client: httpx.Client, demo_db: psycopg.Connection
) -> None:
    (key,) = fresh_keys()
    named = {"Idempotency-Key": f"not echoed {key}"}
    made = client.put(f"/case-attachments/{key}", json=item(key), headers=named).json()
    with demo_db.transaction():
        demo_db.execute("LOCK TABLE case_attachment")  # while it lasts, the record can't be read
        again = client.put(f"/case-attachments/{key}", json=item(key), headers=named)
    assert (again.status_code, again.json()["data"], again.json()["batch"]) == (201, None, made["batch"])
