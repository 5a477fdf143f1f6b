"""Batches: listing, reports, single items, events, cancel and retry."""

import csv
import io
import json
import uuid
from typing import Any

import httpx
import psycopg
import pytest
from support.case_attachments import b64, fresh_keys, item, put, read, refusing, statuses


def batch_of(answer: httpx.Response) -> str:
    href: str = answer.json()["batch"]["href"]
    return href


def test_a_record_that_the_database_refuses_fails_alone(client: httpx.Client, demo_db: psycopg.Connection) -> None:
    keys = fresh_keys(60)
    with refusing(demo_db):
        answer = put(client, [item(k, comment="refuse" if n in (0, 17, 59) else str(n)) for n, k in enumerate(keys)])
    assert [n for n, status in enumerate(statuses(answer)) if status == 500] == [0, 17, 59]
    bad = answer.json()["data"][17]
    assert (bad["outcome"], bad["retry"]) == ("failed", "as-is")
    assert "comment is refused" in bad["body"]
    assert answer.json()["batch"]["counts"] == {"created": 57, "failed": 3}


def test_a_failure_leaves_earlier_items_of_its_key_done(client: httpx.Client, demo_db: psycopg.Connection) -> None:
    (key,) = fresh_keys()
    with refusing(demo_db):
        answer = put(client, [item(key, comment=c) for c in ("one", "two", "refuse")])
    assert statuses(answer) == [201, 200, 500]
    assert read(client, key)["comment"] == "two"


def test_retry_repeats_what_failed_as_a_child_linked_both_ways(
    client: httpx.Client, demo_db: psycopg.Connection
) -> None:
    keys = fresh_keys(4)
    with refusing(demo_db):
        parent = batch_of(put(client, [item(k, comment="refuse", attachment=b64(b"kept")) for k in keys] + [None]))
    put(client, [item(keys[0], comment="later")])  # overtakes the first
    put(client, [item(keys[1])])
    assert client.delete(f"/case-attachments/{keys[1]}").status_code == 204  # and the second, with a deletion
    answer = client.post(f"{parent}/retry", headers={"Prefer": "wait=20"})
    assert answer.status_code == 202
    child = answer.json()
    assert answer.headers["location"] == child["href"]
    assert (child["state"], child["counts"]) == ("finished", {"created": 2, "skipped": 2})
    assert client.get(parent).json()["children"] == [child["id"]]
    assert f"/batches/{child['parent']}" == parent
    report = client.get(f"{child['href']}/report").json()["data"]
    assert [(e["outcome"], "superseded" in e["body"]) for e in report[:2]] == [("skipped", True)] * 2
    assert read(client, keys[0])["comment"] == "later"
    assert client.get(f"/case-attachments/{keys[1]}").status_code == 404
    assert read(client, keys[2])["attachment"] == b64(b"kept")
    forced = client.post(f"{parent}/retry?force=true", headers={"Prefer": "wait=20"}).json()
    assert forced["counts"] == {"created": 1, "updated": 3}
    assert read(client, keys[0])["comment"] == "refuse"


def test_a_retry_keeps_the_order_of_items_of_one_key(client: httpx.Client, demo_db: psycopg.Connection) -> None:
    (key,) = fresh_keys()
    with refusing(demo_db):
        parent = batch_of(put(client, [item(key, comment="refuse older"), item(key, comment="refuse newer")]))
    child = client.post(f"{parent}/retry", headers={"Prefer": "wait=20"}).json()
    assert child["counts"] == {"created": 1, "updated": 1}
    assert read(client, key)["comment"] == "refuse newer"


def test_what_was_retried_once_is_not_retried_again(client: httpx.Client, demo_db: psycopg.Connection) -> None:
    with refusing(demo_db):
        parent = batch_of(put(client, [item(0, comment="refuse")]))
        again = client.post(f"{parent}/retry", headers={"Prefer": "wait=20"}).json()
        assert again["counts"] == {"failed": 1}
    assert client.post(f"{parent}/retry", headers={"Prefer": "wait=20"}).json()["counts"] == {"created": 1}
    assert client.post(f"{parent}/retry").status_code == 409


def test_nothing_to_retry_is_a_conflict_that_says_so(client: httpx.Client) -> None:
    answer = client.post(f"{batch_of(put(client, [None]))}/retry")
    assert answer.status_code == 409
    assert "report" in answer.json()["error"]["detail"]


def test_cancel_settles_what_has_not_started_and_counts_every_item(
    client: httpx.Client, demo_db: psycopg.Connection
) -> None:
    keys = fresh_keys(6000)
    with demo_db.transaction():  # while it lasts, no worker gets on, and there are more chunks than workers
        demo_db.execute("LOCK TABLE case_attachment IN EXCLUSIVE MODE")
        answer = put(client, [item(k) for k in keys], Prefer="respond-async")
        client.post(f"{batch_of(answer)}/cancel")
    cancelled = client.get(batch_of(answer), headers={"Prefer": "wait=30"}).json()
    assert cancelled["cancelRequested"]
    assert cancelled["state"] == "cancelled"
    assert sum(cancelled["counts"].values()) == 6000
    assert set(cancelled["counts"]) <= {"created", "cancelled"}
    assert cancelled["counts"]["cancelled"] >= 1000
    report = client.get(f"{batch_of(answer)}/report?limit=10000&outcome=cancelled").json()["data"]
    assert len(report) == cancelled["counts"]["cancelled"]
    assert {(e["status"], e["outcome"]) for e in report} == {(409, "cancelled")}
    gone = client.get(f"/case-attachments/{report[0]['id'][0]['value']}")
    assert gone.status_code == 404
    refused = client.post(f"{batch_of(answer)}/retry")
    assert (refused.status_code, refused.json()["error"]["detail"].partition(". ")[2]) == (
        409,
        "What was cancelled is its sender's to send again",
    )


def test_cancelling_what_has_ended_changes_nothing(client: httpx.Client) -> None:
    href = batch_of(put(client, [item(*fresh_keys())]))
    answer = client.post(f"{href}/cancel")
    assert (answer.status_code, answer.json()["state"], answer.json()["cancelRequested"]) == (200, "finished", False)


def test_a_report_pages_filters_and_streams(client: httpx.Client) -> None:
    keys = fresh_keys(30)
    href = batch_of(put(client, [item(k) if n % 3 else None for n, k in enumerate(keys)]))
    whole = client.get(f"{href}/report").json()["data"]
    assert [e["position"] for e in whole] == list(range(30))
    paged: list[Any] = []
    path = f"{href}/report?limit=7"
    while path:
        page = client.get(path)
        paged += page.json()["data"]
        path = page.links.get("next", {}).get("url", "")
    assert paged == whole
    bad = client.get(f"{href}/report?outcome=invalid,failed").json()["data"]
    assert [e["position"] for e in bad] == list(range(0, 30, 3))
    lines = client.get(f"{href}/report", headers={"Accept": "application/x-ndjson"})
    assert lines.headers["content-type"].startswith("application/x-ndjson")
    assert [json.loads(line) for line in lines.text.splitlines()] == whole
    table = client.get(f"{href}/report?outcome=invalid", headers={"Accept": "text/csv"})
    rows = list(csv.DictReader(io.StringIO(table.text)))
    assert [(int(r["position"]), r["outcome"]) for r in rows] == [(e["position"], "invalid") for e in bad]
    assert client.get(f"{href}/report?outcome=nonsense").status_code == 400


def test_batches_are_listed_newest_first_and_paged(acme: httpx.Client) -> None:
    made = [put(acme, [item(*fresh_keys())]).json()["batch"]["id"] for _ in range(4)]
    made.append(put(acme, [None]).json()["batch"]["id"])
    first = acme.get("/batches?limit=3").json()
    assert [b["id"] for b in first["batches"]] == made[:1:-1]
    second = acme.get(f"/batches?limit=2&after={first['next']}").json()
    assert [b["id"] for b in second["batches"]] == made[1::-1]
    assert made[-1] in [b["id"] for b in acme.get("/batches?outcome=invalid").json()["batches"]]
    assert made[0] not in [b["id"] for b in acme.get("/batches?outcome=invalid").json()["batches"]]
    assert {b["state"] for b in acme.get("/batches?state=finished").json()["batches"]} == {"finished"}
    assert acme.get("/batches?state=nonsense").status_code == 400


def test_an_item_tells_its_payload_without_content_and_its_attempts(client: httpx.Client) -> None:
    (key,) = fresh_keys()
    href = batch_of(put(client, [item(key, attachment=b64(b"secret bytes"), comment="c")]))
    detail = client.get(f"{href}/items/0").json()
    assert (detail["outcome"], detail["kind"]) == ("created", "case_attachment.upsert")
    assert detail["payload"] == {"case_Key": 1, "comment": "c", "content": "set"}
    assert detail["waitsFor"] is None
    assert len(detail["attempts"]) == 1
    assert detail["attempts"][0]["error"] is None
    assert "worker" in detail["attempts"][0]["worker"]
    assert client.get(f"{href}/items/1").status_code == 404


def test_events_tell_progress_and_the_end_and_can_be_resumed(client: httpx.Client) -> None:
    href = batch_of(put(client, [item(k) for k in fresh_keys(2000)], Prefer="respond-async"))
    with client.stream("GET", f"{href}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        text = "".join(stream.iter_text())
    last = text.strip().split("\n\n")[-1]
    assert last.startswith("event: end\nid: end\ndata: ")
    assert json.loads(last.split("data: ")[1])["counts"] == {"created": 2000}
    assert client.get(f"{href}/events", headers={"Last-Event-ID": "end"}).status_code == 204


@pytest.mark.parametrize("path", ["", "/report", "/events", "/items/0"])
def test_an_unknown_batch_is_404(client: httpx.Client, path: str) -> None:
    assert client.get(f"/batches/{uuid.uuid4()}{path}").status_code == 404


@pytest.mark.parametrize("action", ["cancel", "retry"])
def test_an_unknown_batch_can_not_be_acted_on(client: httpx.Client, action: str) -> None:
    assert client.post(f"/batches/{uuid.uuid4()}/{action}").status_code == 404


def test_health_tells_nothing_secret_and_needs_no_credentials(stack: dict[str, str]) -> None:
    live, ready = (httpx.get(f"{stack['LIMPET_URL']}/health/{name}") for name in ("live", "ready"))
    assert live.json()["status"] == "live"
    assert ready.json() == {
        "status": "ready",
        "parts": {"databases": "ok", "store": "ok", "broker": "ok", "disk": "ok"},
    }
    assert httpx.get(f"{stack['LIMPET_URL']}/openapi.json").status_code == 200
    assert httpx.get(f"{stack['LIMPET_URL']}/docs").status_code == 200


def test_metrics_need_a_credential_and_tell_of_one_database(stack: dict[str, str], client: httpx.Client) -> None:
    assert httpx.get(f"{stack['LIMPET_URL']}/metrics").status_code == 401
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    found = dict(line.rsplit(" ", 1) for line in answer.text.splitlines() if not line.startswith("#"))
    assert float(found['limpet_chunks_overdue{database="demo"}']) == 0
    assert set(found) >= {'limpet_batches_unfinished{database="demo"}', 'limpet_oldest_chunk_seconds{database="demo"}'}
