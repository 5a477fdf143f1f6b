"""Contents of imports: a place takes its own bytes only, and a row names only what is stored."""

import hashlib
from typing import Any

import httpx
import psycopg
from support.case_attachments import fresh_keys, item
from support.imports import ended, named


def place(client: httpx.Client, href: str, data: bytes) -> dict[str, Any]:
    wanted = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    answer = client.post(f"{href}/contents", json={"contents": [wanted]})
    assert answer.headers["cache-control"] == "no-store"
    found: dict[str, Any] = answer.json()["contents"][0]
    return found


def row(key: int, content: dict[str, Any]) -> dict[str, Any]:
    named_by = {name: content[name] for name in ("sha256", "size", "place")}
    return {"line": 2, "item": item(key), "content": named_by}


def upload(to: dict[str, Any], data: bytes, headers: dict[str, str] | None = None) -> int:
    return httpx.put(to["url"], content=data, headers=headers or to["headers"], trust_env=False).status_code


def test_an_upload_url_takes_its_own_bytes_only(client: httpx.Client) -> None:
    (key,) = fresh_keys()
    data = f"content of {key}".encode()
    opened = named(client, f"places {key}")
    to = place(client, opened["href"], data)
    rows = f"{opened['href']}/rows?from=0"
    assert "X-Amz-Expires=1800&" in to["url"], "what begins at the last moment has as long to end before it is removed"
    assert upload(to, data[::-1]) == 400
    assert upload(to, data, {"x-other": "1"}) == 403
    early = client.put(rows, json=[row(key, to)])
    assert (early.status_code, early.headers["limpet-reason"]) == (409, "ContentMissingError")
    assert upload(to, data) == 200
    assert client.put(rows, json=[row(key, to)]).json()["nextRow"] == 1
    client.post(f"{opened['href']}/close")
    assert ended(client, opened)["counts"] == {"created": 1}
    assert client.get(f"/case-attachments/{key}/content").content == data
    assert place(client, opened["href"], data)["url"] is None, "it is stored already"


def test_a_place_that_is_not_needed_stays_while_its_url_is_good(
    client: httpx.Client, demo_db: psycopg.Connection
) -> None:
    keys = fresh_keys(2)
    data = f"content of {keys[0]}".encode()
    opened = named(client, f"spare {keys[0]}")
    both = [place(client, opened["href"], data) for _ in keys]
    for number, (key, to) in enumerate(zip(keys, both, strict=True)):
        assert upload(to, data) == 200
        assert client.put(f"{opened['href']}/rows?from={number}", json=[row(key, to)]).status_code == 200
    client.post(f"{opened['href']}/close")
    kept = "SELECT due_at > now() + interval '30 minutes' FROM garbage WHERE object_key = %s"
    assert demo_db.execute(kept, [both[1]["place"].rpartition(".")[0]]).fetchone() == (True,)


def test_what_came_to_a_place_after_its_removal_is_removed_again(
    client: httpx.Client, demo_db: psycopg.Connection
) -> None:
    (key,) = fresh_keys()
    data = f"late content of {key}".encode()
    opened = named(client, f"late {key}")
    to = place(client, opened["href"], data)
    object_key = to["place"].rpartition(".")[0]
    demo_db.execute("DELETE FROM garbage WHERE object_key = %s", [object_key])  # as the collector does, an hour later
    assert upload(to, data) == 200
    late = client.put(f"{opened['href']}/rows?from=0", json=[row(key, to)])
    assert (late.status_code, late.headers["limpet-reason"]) == (409, "ContentMissingError")
    noted = "SELECT due_at > now() FROM garbage WHERE object_key = %s"
    assert demo_db.execute(noted, [object_key]).fetchone() == (True,)
    assert client.post(f"{opened['href']}/close").status_code == 200


def test_one_look_finds_which_of_many_contents_lack(client: httpx.Client) -> None:
    keys = fresh_keys(4)
    contents = [f"one of {key}".encode() for key in keys]
    opened = named(client, f"lacking {keys[0]}")
    wanted = [{"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)} for data in contents]
    places = client.post(f"{opened['href']}/contents", json={"contents": wanted}).json()["contents"]
    rows = [row(key, to) for key, to in zip(keys, places, strict=True)]
    for to, data in list(zip(places, contents, strict=True))[:3]:
        assert upload(to, data) == 200
    lacking = client.put(f"{opened['href']}/rows?from=0", json=rows)
    assert (lacking.status_code, "1 contents" in lacking.json()["error"]["detail"]) == (409, True)
    assert upload(places[3], contents[3]) == 200
    assert client.put(f"{opened['href']}/rows?from=0", json=rows).json()["nextRow"] == 4
    client.post(f"{opened['href']}/close")
    assert ended(client, opened)["counts"] == {"created": 4}


def test_a_place_that_was_never_given_is_its_rows_outcome(client: httpx.Client) -> None:
    one, other = fresh_keys(2)
    opened = named(client, f"forged {one}")
    to = place(client, opened["href"], f"content of {one}".encode())
    assert upload(to, f"content of {one}".encode()) == 200
    forged = {**to, "sha256": hashlib.sha256(b"something else").hexdigest()}
    answer = client.put(f"{opened['href']}/rows?from=0", json=[row(one, to), row(other, forged)])
    assert answer.json()["nextRow"] == 2
    client.post(f"{opened['href']}/close")
    assert ended(client, opened)["counts"] == {"created": 1, "invalid": 1}
