"""PUT /case-attachments-batch as a client sees it: each example and rule of the contract is a test."""

import hashlib
import json
import os
import threading
import uuid
from typing import Any

import httpx
import pytest
from support.case_attachments import b64, fresh_keys, item, put, read, statuses


def test_ten_items_with_contents_answer_in_the_documented_shape_member_by_member(client: httpx.Client) -> None:
    keys = fresh_keys(10)
    contents = {key: os.urandom(100 * n) for n, key in enumerate(keys) if n % 2}
    answer = put(client, [item(k, **({"attachment": b64(contents[k])} if k in contents else {})) for k in keys])
    assert answer.status_code == 207
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.headers["batch-outcome"] == "complete"
    body = answer.json()
    assert list(body) == ["data", "error", "debug", "batch"]
    for position, (key, entry) in enumerate(zip(keys, body["data"], strict=True)):
        assert entry == {
            "id": [{"key": "caseAttachment_Key", "value": key}],
            "status": 201,
            "body": "Created",
            "position": position,
            "outcome": "created",
            "retry": "never",
        }
    assert body["error"] is None
    assert uuid.UUID(body["debug"]["activityID"])
    batch_id = body["batch"]["id"]
    assert body["batch"] == {
        "id": batch_id,
        "state": "finished",
        "total": 10,
        "counts": {"created": 10},
        "href": f"/batches/{batch_id}",
    }
    for key in keys:
        stored = client.get(f"/case-attachments/{key}/content")
        assert (stored.content if key in contents else stored.status_code) == contents.get(key, 404)


def test_a_megabyte_of_random_content_comes_back_byte_for_byte(client: httpx.Client) -> None:
    (key,) = fresh_keys()
    content = os.urandom(2**20)
    assert statuses(put(client, [item(key, attachment=b64(content), attachment_File="data.bin")])) == [201]
    answer = client.get(f"/case-attachments/{key}/content")
    assert answer.content == content
    assert answer.headers["repr-digest"] == f"sha-256=:{b64(hashlib.sha256(content).digest())}:"
    assert read(client, key)["attachment"] == b64(content)


def test_a_key_twice_in_one_batch_is_201_then_200_and_the_later_wins(client: httpx.Client) -> None:
    for _ in range(5):
        (key,) = fresh_keys()
        assert statuses(put(client, [item(key, comment="first"), item(key, comment="second")])) == [201, 200]
        assert read(client, key)["comment"] == "second"


def test_six_hundred_items_over_seven_keys_end_in_order(client: httpx.Client) -> None:
    keys = fresh_keys(7)
    answer = put(client, [item(keys[n % 7], comment=str(n)) for n in range(600)])
    assert statuses(answer) == [201] * 7 + [200] * 593
    assert [read(client, key)["comment"] for key in keys] == [str(n) for n in (595, 596, 597, 598, 599, 593, 594)]


def test_results_come_in_the_order_of_the_request(client: httpx.Client) -> None:
    keys = fresh_keys(300)[::-1]
    answer = put(client, [item(key) for key in keys])
    assert [entry["id"][0]["value"] for entry in answer.json()["data"]] == keys
    assert [entry["position"] for entry in answer.json()["data"]] == list(range(300))


def test_key_zero_twice_makes_two_records_with_keys_of_their_own(client: httpx.Client) -> None:
    answer = put(client, [item(0, comment="a"), item(0, comment="b")])
    assert statuses(answer) == [201, 201]
    made = [entry["id"][0]["value"] for entry in answer.json()["data"]]
    assert len(set(made)) == 2
    assert 0 not in made
    assert [read(client, key)["comment"] for key in made] == ["a", "b"]


def test_a_generated_key_is_never_that_of_an_explicit_item_beside_it(client: httpx.Client) -> None:
    (last,) = (entry["id"][0]["value"] for entry in put(client, [item(0)]).json()["data"])
    explicit = list(range(last + 1, last + 31))
    answer = put(client, [i for key in explicit for i in (item(0, comment="generated"), item(key, comment="explicit"))])
    assert set(statuses(answer)) == {201}
    made = [entry["id"][0]["value"] for entry in answer.json()["data"][::2]]
    assert not set(made) & set(explicit)
    assert {read(client, key)["comment"] for key in made} == {"generated"}
    assert {read(client, key)["comment"] for key in explicit} == {"explicit"}


def test_the_largest_key_does_not_end_the_generator(client: httpx.Client) -> None:
    assert statuses(put(client, [item(2**31 - 1), item(0), item(0)]))[1:] == [201, 201]


def test_unknown_members_are_ignored(client: httpx.Client) -> None:
    (key,) = fresh_keys()
    assert statuses(put(client, [item(key, nonsense={"a": [1]}, Comment="not the field")])) == [201]
    assert read(client, key)["comment"] is None


def test_on_create_missing_dates_and_users_are_filled_in(client: httpx.Client) -> None:
    (key,) = fresh_keys()
    put(client, [item(key, entry_Date=None)])
    record = read(client, key)
    assert record["entry_User"] == record["update_User"] == "demo"
    assert record["entry_Date"] == record["update_Date"]
    assert record["entry_Date"].endswith("Z")


@pytest.mark.parametrize(
    "sent", ["2026-11-21T11:00:00+01:00", "2026-11-21T10:00:00", "2026-11-21 10:00:00 UTC", "2026-11-21T10:00:00Z"]
)
def test_all_date_forms_are_taken_and_given_back_as_rfc_3339_utc(client: httpx.Client, sent: str) -> None:
    (key,) = fresh_keys()
    assert statuses(put(client, [item(key, entry_Date=sent)])) == [201]
    assert read(client, key)["entry_Date"] == "2026-11-21T10:00:00Z"


def test_a_leap_second_is_the_one_after_it(client: httpx.Client) -> None:
    (key,) = fresh_keys()
    assert statuses(put(client, [item(key, entry_Date="1990-12-31T15:59:60.5-08:00")])) == [201]
    assert read(client, key)["entry_Date"] == "1991-01-01T00:00:00.500000Z"


def test_an_empty_string_is_an_empty_file(client: httpx.Client) -> None:
    (key,) = fresh_keys()
    assert statuses(put(client, [item(key, attachment="")])) == [201]
    assert read(client, key)["attachment"] == ""
    answer = client.get(f"/case-attachments/{key}/content")
    assert (answer.status_code, answer.content) == (200, b"")


BAD: list[tuple[Any, str]] = [
    ({"case_Key": 1}, "caseAttachment_Key"),
    ({"caseAttachment_Key": 5}, "case_Key"),
    (item(-1), "caseAttachment_Key"),
    (item(2**31), "caseAttachment_Key"),
    (item(10**30), "caseAttachment_Key"),
    (item(key=True), "caseAttachment_Key"),
    (item("7"), "caseAttachment_Key"),  # type: ignore[arg-type]
    (item(1.5), "caseAttachment_Key"),  # type: ignore[arg-type]
    (item(None), "caseAttachment_Key"),  # type: ignore[arg-type]
    ({"caseAttachment_Key": 5, "case_Key": "1"}, "case_Key"),
    (item(5, comment="x" * 2049), "comment"),
    (item(5, attachment_File="x" * 256), "attachment_File"),
    (item(5, attachment_Path="x" * 501), "attachment_Path"),
    (item(5, caseAttachment_Type="x" * 257), "caseAttachment_Type"),
    (item(5, entry_User="x" * 21), "entry_User"),
    (item(5, update_User="x" * 21), "update_User"),
    (item(5, comment=7), "comment"),
    (item(5, comment=["x"]), "comment"),
    (item(5, comment="a\0b"), "comment"),
    (item(5, attachment_File="\ud800"), "attachment_File"),
    (item(5, entry_Date="yesterday"), "entry_Date"),
    (item(5, entry_Date="2026-02-30T00:00:00Z"), "entry_Date"),
    (item(5, entry_Date=1700000000), "entry_Date"),
    (item(5, entry_Date="0001-01-01T00:00:00+14:00"), "entry_Date"),
    (item(5, attachment="not base64!"), "attachment"),
    (item(5, attachment="QQ"), "attachment"),
    (item(5, attachment="QQ==QQ=="), "attachment"),
    (item(5, attachment=12), "attachment"),
    (item(5, attachment={"data": "QQ=="}), "attachment"),
]


@pytest.mark.parametrize(("bad", "field"), BAD)
def test_a_bad_item_names_its_field_and_harms_no_neighbour(client: httpx.Client, bad: Any, field: str) -> None:
    left, right = fresh_keys(2)
    content = json_with_surrogates([item(left), bad, item(right)])
    answer = client.put("/case-attachments-batch", content=content, headers={"content-type": "application/json"})
    assert statuses(answer)[::2] == [201, 201]
    entry = answer.json()["data"][1]
    assert (entry["status"], entry["outcome"], entry["retry"]) == (422, "invalid", "after-fix")
    assert field in [error["field"] for error in entry["errors"]]
    assert field in entry["body"]
    assert answer.headers["batch-outcome"] == "partial"
    assert answer.json()["batch"]["counts"] == {"created": 2, "invalid": 1}


def json_with_surrogates(value: Any) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize("entry", [None, 1, "text", [], True])
def test_an_entry_that_is_no_object_is_its_own_fault_only(client: httpx.Client, entry: Any) -> None:
    (key,) = fresh_keys()
    answer = put(client, [entry, item(key)])
    assert statuses(answer) == [400, 201]
    assert answer.json()["data"][0]["id"] == [{"key": "caseAttachment_Key", "value": 0}]


def test_lengths_count_characters_not_bytes(client: httpx.Client) -> None:
    (key,) = fresh_keys()
    assert statuses(put(client, [item(key, entry_User="😀" * 20, comment="ü" * 2048)])) == [201]
    assert read(client, key)["comment"] == "ü" * 2048


def test_an_empty_batch_is_born_finished(client: httpx.Client) -> None:
    answer = put(client, [])
    assert (answer.status_code, answer.json()["data"]) == (207, [])
    assert answer.json()["batch"]["state"] == "finished"


def test_a_batch_of_bad_items_only_is_207_and_born_finished(client: httpx.Client) -> None:
    answer = put(client, [None, {}])
    assert statuses(answer) == [400, 422]
    assert answer.json()["batch"]["state"] == "finished"
    assert answer.headers["batch-outcome"] == "failed"


def test_two_databases_see_nothing_of_each_other(client: httpx.Client, acme: httpx.Client) -> None:
    (key,) = fresh_keys()
    mine = put(client, [item(key, comment="demo")])
    assert acme.get(f"/case-attachments/{key}").status_code == 404
    assert acme.get(mine.json()["batch"]["href"]).status_code == 404
    assert statuses(put(acme, [item(key, comment="acme")])) == [201]
    assert read(client, key)["comment"] == "demo"


def test_everything_is_there_under_the_vendors_prefix(client: httpx.Client) -> None:
    (key,) = fresh_keys()
    answer = client.put("/vbasoftware/case-attachments-batch", json=[item(key)])
    assert statuses(answer) == [201]
    assert client.get(f"/vbasoftware/case-attachments/{key}").status_code == 200


def test_respond_async_answers_202_at_once_and_the_end_can_be_waited_for(client: httpx.Client) -> None:
    keys = fresh_keys(200)
    answer = put(client, [item(k) for k in keys], Prefer="respond-async")
    assert answer.status_code == 202
    assert answer.headers["preference-applied"] == "respond-async"
    href = answer.json()["batch"]["href"]
    assert answer.headers["location"] == href
    assert put(client, [], Prefer="respond-async").status_code == 202
    batch = client.get(href, headers={"Prefer": "wait=30"}).json()
    assert (batch["state"], batch["counts"]) == ("finished", {"created": 200})
    report = client.get(f"{href}/report")
    assert statuses(report) == [201] * 200


def test_wait_zero_answers_207_with_what_is_not_done_at_202(client: httpx.Client) -> None:
    keys = fresh_keys(500)
    answer = put(client, [item(k) for k in keys], Prefer="wait=0")
    assert answer.headers["preference-applied"] == "wait=0"
    assert set(statuses(answer)) <= {201, 202}
    assert 202 in statuses(answer), "500 items can't be done in no time"
    pending = next(e for e in answer.json()["data"] if e["status"] == 202)
    assert (pending["outcome"], pending["body"] != "") == ("pending", True)
    assert answer.headers["location"] == answer.json()["batch"]["href"]
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.headers["batch-outcome"] == "pending"
    client.get(answer.json()["batch"]["href"], headers={"Prefer": "wait=30"})


def test_text_plain_only_when_nothing_else_is_accepted(client: httpx.Client) -> None:
    for accept, kind in {
        "text/plain": "text/plain; charset=utf-8",
        "text/plain, text/json, application/json": "application/json; charset=utf-8",
        "text/plain, */*": "application/json; charset=utf-8",
        "text/html": "application/json; charset=utf-8",
    }.items():
        assert put(client, [], Accept=accept).headers["content-type"] == kind
    twice = [("Accept", "text/plain"), ("Accept", "application/json")]
    answer = client.request("PUT", "/case-attachments-batch", json=[], headers=twice)
    assert answer.headers["content-type"] == "application/json; charset=utf-8"


def test_a_preference_within_the_quotes_of_another_is_none(client: httpx.Client) -> None:
    answer = put(client, [], Prefer='note="a, respond-async, b", wait="7"')
    assert (answer.status_code, answer.headers["preference-applied"]) == (207, "wait=7")


def test_the_same_idempotency_key_and_request_repeat_nothing(client: httpx.Client) -> None:
    (key,) = fresh_keys()
    name = uuid.uuid4().hex
    first = put(client, [item(key), item(0)], **{"Idempotency-Key": name})
    again = put(client, [item(key), item(0)], **{"Idempotency-Key": name})
    assert first.json() == again.json()
    assert statuses(again) == [201, 201]
    other = put(client, [item(key)], **{"Idempotency-Key": name})
    assert other.status_code == 422
    assert other.json()["data"] is None
    assert other.json()["error"]["status"] == 422


def test_a_key_is_for_one_request_with_its_query_and_its_guard(client: httpx.Client) -> None:
    (key,) = fresh_keys()
    path, name = f"/case-attachments/{key}", uuid.uuid4().hex
    etag = client.put(path, json=item(key)).headers["etag"]
    stale = client.put(path, json=item(key), headers={"Idempotency-Key": name, "If-Match": '"0-0"'})
    assert stale.status_code == 412
    mended = client.put(path, json=item(key), headers={"Idempotency-Key": name, "If-Match": etag})
    assert mended.status_code == 422, "the mended guard makes another request, which the old 412 must not answer"
    assert client.put(f"{path}?x=1", json=item(key), headers={"Idempotency-Key": name}).status_code == 422
    again = client.put(path, json=item(key), headers={"Idempotency-Key": name, "If-Match": '"0-0"'})
    assert again.status_code == 412


def test_an_idempotent_request_repeated_while_it_runs_finds_the_same_batch(client: httpx.Client) -> None:
    items, name = [item(k) for k in fresh_keys(2000)], uuid.uuid4().hex
    first = put(client, items, **{"Idempotency-Key": name, "Prefer": "respond-async"})
    again = put(client, items, **{"Idempotency-Key": name})
    assert again.json()["batch"]["id"] == first.json()["batch"]["id"]
    assert statuses(again) == [201] * 2000


def test_an_idempotent_request_sent_many_times_at_once_makes_one_batch(client: httpx.Client) -> None:
    (key,) = fresh_keys()
    name, found = uuid.uuid4().hex, []

    def send() -> None:
        found.append(put(client, [item(key), item(0)], **{"Idempotency-Key": name}).json())

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({body["batch"]["id"] for body in found}) == 1
    assert all(body["data"] == found[0]["data"] for body in found)


WRONG: list[tuple[dict[str, Any], int]] = [
    ({"content": b"[{"}, 400),
    ({"content": b'{"a": 1}'}, 400),
    ({"content": b"[NaN]"}, 400),
    ({"content": b"\xff\xfe"}, 400),
    ({"content": b""}, 400),
    ({"content": b"[" * 100_000}, 400),
    ({"json": [], "drop": "vbasoftware-database"}, 400),
    ({"json": [], "drop": "x-api-key"}, 401),
    ({"json": [], "drop": "authorization"}, 401),
    ({"json": [], "headers": {"x-api-key": "wrong"}}, 401),
    ({"json": [], "headers": {"authorization": "Bearer not.a.token"}}, 401),
    ({"json": [], "headers": {"authorization": "Basic eDp5"}}, 401),
    ({"json": [], "headers": {"vbasoftware-database": "nobodys"}}, 403),
    ({"json": [{}] * 10_001}, 413),
    ({"content": b"[]", "headers": {"content-type": "text/csv"}}, 415),
    ({"content": b"[]", "headers": {"content-encoding": "gzip"}}, 415),
]


@pytest.mark.parametrize(("how", "status"), WRONG)
def test_a_request_that_is_wrong_whole_says_so_in_the_envelope(
    client: httpx.Client, how: dict[str, Any], status: int
) -> None:
    how = {**how, "headers": {"content-type": "application/json", **how.get("headers", {})}}
    request = client.build_request("PUT", "/case-attachments-batch", **{k: v for k, v in how.items() if k != "drop"})
    if "drop" in how:
        del request.headers[how["drop"]]
    answer = client.send(request)
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert body["data"] is None
    assert set(body["error"]) == {"type", "title", "status", "detail", "instance"}
    assert body["error"]["status"] == status
    assert body["debug"]["activityID"]
    assert ("www-authenticate" in answer.headers) == (status == 401)


def test_an_answer_that_does_not_wait_counts_as_the_ledger_does(client: httpx.Client) -> None:
    """A refused item among good ones counts once its chunk is done: what was counted is never taken back."""
    keys = fresh_keys(30)
    answer = put(client, [*(item(key) for key in keys), {"caseAttachment_Key": "no"}], Prefer="respond-async")
    assert answer.status_code == 202
    assert answer.json()["batch"]["counts"] == {"pending": 31}
    assert answer.headers["batch-outcome"] == "pending"
    all_refused = put(client, [{"caseAttachment_Key": "no"}] * 2, Prefer="respond-async")
    assert all_refused.json()["batch"]["counts"] == {"invalid": 2}
