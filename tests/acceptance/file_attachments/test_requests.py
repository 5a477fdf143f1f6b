"""Family B: how requests are spelled, which names are taken, which files are shown, and the links that open them."""

import json
import os
import re
import uuid

import httpx
import psycopg
import pytest
from support.file_attachments import add, content, data, ends, fresh_item, get, send, update

CREATED, INVALID = (201, "created"), (422, "invalid")


def test_bodies_of_tolerant_clients_are_json_whatever_they_are_called(files: httpx.Client) -> None:
    item = fresh_item()
    body = json.dumps({"fileAttachList": [{"filename": "a", "contentsbase64": data(b"x")}]})
    made = files.post(f"/jsonapi/updatefileattachments/{item}", content=body, headers={"Content-Type": "text/plain"})
    assert made.json()["result"]["type"] == "OK"
    for answer in (
        files.get(f"/jsonapi/getFILEattachments/{item}"),
        files.post(f"/jsonapi/GetFileAttachments/{item}", content=b""),
        files.post(f"/jsonapi/GetFileAttachments/{item}", content=b" \r\n", headers={"Content-Type": "text/xml"}),
        files.get(f"/jsonapi/GetFileAttachments/{item.upper()}/"),
    ):
        assert [f["fileName"] for f in answer.json()["fileattachments"]["files"]] == ["a"]


@pytest.mark.parametrize("program", ["/tmtrack/tmtrack.dll", "/workcenter/tmtrack.dll"])
def test_the_query_form_does_the_same(files: httpx.Client, program: str) -> None:
    table, _, number = fresh_item().partition("/")
    query = f"JSONPage&command=jsonapi&JSON_P1={table}&JSON_P2={number.replace(' ', '+')}&JSON_Func="
    sent = {"fileAttachList": [{"filename": "a", "contentsbase64": data(b"x")}]}
    made = files.post(f"{program}?{query}UpdateFileAttachments", json=sent).json()
    got = files.get(f"{program}?{query}getfileattachments").json()
    assert made["fileattachments"]["files"][0]["id"] == got["fileattachments"]["files"][0]["id"]
    assert [f["fileName"] for f in get(files, f"{table}/{number}")] == ["a"]
    assert files.get(f"{program}?JSONPage&command=jsonapi").status_code == 404


def test_table_and_item_are_taken_as_written_without_regard_to_case(files: httpx.Client) -> None:
    mark = uuid.uuid4().hex
    add(files, f"A%2FB {mark}/%C3%9Fx%2Fy", "a")
    assert len(get(files, f"a%2fb {mark.upper()}/SSX%2FY")) == 1
    assert get(files, f"A {mark}/ßx") == []
    for bad in ("%00/1", "a/%1F", "a/%FF", f"a/{'b' * 256}", "a/%ED%A0%80"):
        answer = files.get(f"/jsonapi/GetFileAttachments/{bad}")
        assert (answer.status_code, answer.json()["result"]["type"]) == (200, "ERROR")
    assert get(files, f"a/{'b' * 255}") == []


HOSTILE = [
    "../../etc/passwd",
    "..\\..\\boot.ini",
    "C:\\evil.exe",
    'quo"te; filename="x.exe',
    "Ünïcode \u202egpj.exe",
    "🦜📎.pdf",
    "%2e%2e%2f",
    "....",
    "a" * 255,
    "<script>alert(1)</script>.html",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_lose_their_path_and_are_harmless_where_they_are_used(files: httpx.Client, name: str) -> None:
    item = fresh_item()
    add(files, item, name, b"bytes", title=name)
    (file,) = get(files, item)
    assert (file["fileName"], file["title"]) == (re.split(r"[/\\\\]", name)[-1], name)
    assert file["url"].isascii()
    answer = files.get(file["url"])
    assert (answer.status_code, answer.content) == (200, b"bytes")
    disposition = answer.headers["content-disposition"]
    assert disposition.startswith("attachment")
    assert disposition.isascii()
    assert not any(part in disposition for part in ("/", "\\", "..", "%2F", "%5C", "%E2%80%AE"))
    assert disposition.count('"') in (0, 2)
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("name", ["a\0b", "a\nb", "a\x7fb", "a\x85b", "\ud800", "a" * 4096, "a" * 30_000])
def test_names_with_control_characters_or_too_long_are_refused(files: httpx.Client, name: str) -> None:
    item = fresh_item()
    for field in ("filename", "title"):
        sent = {"filename": "fine", "contentsbase64": data(b"x")} | {field: name}
        body = json.dumps({"fileAttachList": [sent]})  # escapes, so that half a pair can be sent
        answer = files.post(f"/jsonapi/UpdateFileAttachments/{item}", content=body).json()
        assert ends(answer) == [INVALID]
        assert answer["result"]["msg"].startswith(field)
    assert get(files, item) == []


def test_a_long_name_in_a_large_body_is_refused_all_the_same(files: httpx.Client) -> None:
    answer = update(
        files,
        fresh_item(),
        {"filename": "n" * 60_000, "contentsbase64": data(b"x")},
        {"filename": "large", "contentsbase64": data(os.urandom(3 * 2**20))},
        {"action": "d" * 60_000, "filename": "a"},
        includeFile=False,
    )
    assert ends(answer) == [INVALID, CREATED, INVALID]


def test_a_link_opens_ranges_and_nothing_that_is_not_there(files: httpx.Client, client: httpx.Client) -> None:
    item = fresh_item()
    number = add(files, item, "réport.pdf", bytes(range(200)))
    url = get(files, item)[0]["url"]
    whole = files.get(url)
    assert whole.headers["content-type"] == "application/pdf"
    assert whole.headers["content-disposition"].endswith("filename*=UTF-8''r%C3%A9port.pdf")
    part = files.get(url, headers={"Range": "bytes=5-9"})
    assert (part.status_code, part.content) == (206, bytes(range(5, 10)))
    assert files.get(url, headers={"If-None-Match": whole.headers["etag"]}).status_code == 304
    assert files.head(url).headers["content-length"] == "200"
    assert client.get(url).content == whole.content  # with family A's credentials
    assert files.get(url + "x").status_code == 200
    for old, new in ((f"={number}/", "=999999999999/"), ("RecordID=", "RecordID=%00"), ("TableID=Incidents&", "")):
        assert files.get(url.replace(old, new)).status_code == 404, old


@pytest.mark.parametrize("body", [b"{", b"[]", b"5", b'"x"', b"null", b"", b"{}", b'{"fileAttachList": {}}', b"\xff"])
def test_a_malformed_body_is_an_error_at_http_200_and_changes_nothing(files: httpx.Client, body: bytes) -> None:
    answer = files.post(f"/jsonapi/UpdateFileAttachments/{fresh_item()}", content=body)
    assert answer.status_code == 200
    assert set(answer.json()) == {"result"}
    assert answer.json()["result"]["type"] == "ERROR"
    assert answer.json()["result"]["msg"]


def test_every_answer_after_authentication_has_a_result(files: httpx.Client) -> None:
    item = fresh_item()
    path = f"/jsonapi/UpdateFileAttachments/{item}"
    answers = [
        files.get(path),
        files.put(path),
        files.post("/jsonapi/Nonsense/a/b", json={}),
        files.post("/jsonapi/UpdateFileAttachments/a", json={}),
        files.post(path, json={"fileAttachList": []}, headers={"Idempotency-Key": ""}),
        files.post(path, json={"fileAttachList": []}, headers={"vbasoftware-database": "nobody's"}),
        files.post(path, json={"fileAttachList": [{}] * 10_001}),
        files.get("/tmtrack/tmtrack.dll?AttachmentPage&TableID=a&RecordID=b&AttachmentID=x"),
        files.post(path, json={"fileAttachList": []}),
    ]
    assert [a.status_code for a in answers] == [405, 405, 404, 404, 400, 403, 413, 404, 200]
    assert [a.json()["result"]["type"] for a in answers] == ["ERROR"] * 8 + ["OK"]


def test_the_answer_is_text_plain_only_where_nothing_better_is_accepted(files: httpx.Client) -> None:
    path = f"/jsonapi/GetFileAttachments/{fresh_item()}"
    assert files.get(path).headers["content-type"] == "application/json; charset=utf-8"
    assert files.get(path, headers={"Accept": "text/plain"}).headers["content-type"] == "text/plain; charset=utf-8"


def test_filters_take_ids_titles_and_file_names_mixed(files: httpx.Client) -> None:
    item = fresh_item()
    one, two = add(files, item, "one.txt", title="first"), add(files, item, "zwei é.txt")
    three, digits = add(files, item, "drei.txt", title="third"), add(files, item, "12345678901")
    for wanted, expected in [
        ([one], [one]),
        ([str(two), ""], [two]),
        (["first"], [one]),
        (["zwei e\u0301.txt", None], [two]),
        ([three, "one.txt", "  ", "nothing"], [one, three]),
        (["12345678901"], [digits]),
        (["nothing", 10**15], []),
        ([], [one, two, three, digits]),
        (["", None], [one, two, three, digits]),
        (None, [one, two, three, digits]),
    ]:
        assert [f["id"] for f in get(files, item, fileAttachFilter=wanted)] == expected
    shown = update(files, item, fileAttachFilter=["first"])["fileattachments"]["files"]
    assert [f["id"] for f in shown] == [one]


def test_contents_come_back_byte_for_byte(files: httpx.Client) -> None:
    item = fresh_item()
    contents = {f"{size}": os.urandom(size) for size in (0, 1, 2, 3, 65_537, 3 * 2**20)}
    answer = update(
        files,
        item,
        *({"action": "NEW-ONLY", "filename": name, "contentsbase64": data(c)} for name, c in contents.items()),
        includeFile=True,
    )
    assert {f["fileName"]: content(f) for f in answer["fileattachments"]["files"]} == contents
    for file in get(files, item):
        assert content(file) == contents[file["fileName"]] == files.get(file["url"]).content


def test_contents_are_left_out_of_all_files_once_they_pass_the_limit(files: httpx.Client) -> None:
    item, limit = fresh_item(), 50 * 2**20
    upload = files.post("/uploads").json()
    httpx.put(upload["url"], content=bytes(limit - 1)).raise_for_status()
    sent = {"action": "NEW-ONLY", "filename": "large", "contentsbase64": {"upload": upload["id"]}}
    assert ends(update(files, item, sent)) == [CREATED]
    add(files, item, "a"), add(files, item, "b")
    under, exactly = get(files, item, fileAttachFilter=["large"]), get(files, item, fileAttachFilter=["large", "a"])
    assert [len(content(f)) for f in under] == [limit - 1]
    assert [len(content(f)) for f in exactly] == [limit - 1, 1]
    over = get(files, item)
    assert [f["fileSize"] for f in over] == [limit - 1, 1, 1]
    assert not any("contentsBase64" in f for f in over)
    assert ends(update(files, item, sent | {"filename": "again"})) == [INVALID]  # an upload is used once


def test_names_that_are_not_documented_do_nothing(files: httpx.Client) -> None:
    item = fresh_item()
    number = add(files, item, "kept")
    gone = {"action": "DELETE", "id": number}
    for body in ({"actions": [gone]}, {"fileAttachList": [], "delete_all": True}, {"fileAttachList": [], "wanted": 5}):
        answer = files.post(f"/jsonapi/UpdateFileAttachments/{item}", json=body)
        assert answer.status_code == 200
        assert answer.json()["result"]["type"] == ("ERROR" if "actions" in body else "OK")
    assert [f["id"] for f in get(files, item)] == [number]


def test_a_filter_of_something_else_than_ids_and_names_is_refused(files: httpx.Client) -> None:
    for bad in ([True], [1.0], [[1]], {"1": 1}, "a", 5):
        answer = files.post(f"/jsonapi/GetFileAttachments/{fresh_item()}", json={"fileAttachFilter": bad}).json()
        assert answer["result"] == {
            "type": "ERROR",
            "msg": "fileAttachFilter must be a list of ids, titles and file names",
        }


def test_contents_under_either_spelling_win_over_blanks(files: httpx.Client) -> None:
    item = fresh_item()
    add(files, item, "a", b"old")
    update(files, item, {"filename": "a", "contentsbase64": None, "contentsBase64": data(b"new")})
    assert content(get(files, item)[0]) == b"new"
    update(files, item, {"filename": "a", "contentsbase64": ""})
    assert content(get(files, item)[0]) == b"new"


def test_a_text_is_served_without_a_charset(files: httpx.Client) -> None:
    item = fresh_item()
    add(files, item, "latin.txt", b"\xe9")
    answer = files.get(get(files, item)[0]["url"])
    assert (answer.headers["content-type"], answer.content) == ("text/plain", b"\xe9")


def test_a_blank_token_is_none(files: httpx.Client) -> None:
    answer = files.get(f"/jsonapi/GetFileAttachments/{fresh_item()}", headers={"ALFSSOAuthNToken": ""})
    assert answer.json()["result"]["type"] == "OK"


def test_an_update_that_was_accepted_is_no_error_because_the_files_can_not_be_read(
    files: httpx.Client, demo_db: psycopg.Connection
) -> None:
    item = fresh_item()
    sent = [{"filename": "a", "contentsbase64": data(b"x")}]
    named = {"Idempotency-Key": f"not read {item}"}
    made = send(files, item, sent, named).json()
    with demo_db.transaction():
        demo_db.execute("LOCK TABLE file_attachment")  # while it lasts, the files can't be read
        again = send(files, item, sent, named)
    assert (again.status_code, again.json()["result"]) == (202, {"type": "OK", "msg": "Accepted"})
    assert (again.json()["actions"], again.json()["batch"]) == (made["actions"], made["batch"])
