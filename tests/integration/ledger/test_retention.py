"""Retention: what ended long ago is forgotten, and nothing that something still needs."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID

import httpx
import psycopg
import pytest
from support.case_attachments import b64, fresh_keys, item, put, read, refusing
from support.imports import append, named
from support.waiting import eventually, finished

from worker.database import transaction
from worker.ledger.retention import expire_batches
from worker.maintenance import expire

pytestmark = pytest.mark.usefixtures("server_environment")
LONG_AGO = "now() - interval '91 days'"


def batch_of(answer: httpx.Response) -> str:
    ident: str = answer.json()["batch"]["id"]
    return ident


def age(database: psycopg.Connection, *batches: str, ended: bool = True) -> None:
    """Let the batches have been accepted, and have ended, a long time ago."""
    end = f", finished_at = {LONG_AGO}" if ended else ""
    database.execute(f"UPDATE batch SET accepted_at = {LONG_AGO}{end} WHERE id = ANY(%s)", [[UUID(b) for b in batches]])


def left(database: psycopg.Connection, batch: str) -> tuple[int, ...]:
    """How many batches, chunks and items there are of that id."""
    row = database.execute(
        "SELECT (SELECT count(*) FROM batch WHERE id = %(id)s), (SELECT count(*) FROM chunk WHERE batch_id = %(id)s),"
        " (SELECT count(*) FROM item WHERE batch_id = %(id)s)",
        {"id": batch},
    ).fetchone()
    assert row
    return tuple(row)


def test_a_batch_that_ended_long_ago_goes_and_its_records_stay(
    client: httpx.Client, demo_db: psycopg.Connection
) -> None:
    (key,) = fresh_keys()
    old, young = (batch_of(put(client, [item(key, attachment=b64(b"stays")), None])) for _ in range(2))
    age(demo_db, old)
    assert expire("demo") == 1
    assert left(demo_db, old) == (0, 0, 0)
    assert left(demo_db, young)[2] == 2
    assert client.get(f"/batches/{old}/report").status_code == 404
    assert read(client, key)["attachment"] == b64(b"stays")


def test_it_is_the_end_that_counts_not_the_beginning(client: httpx.Client, demo_db: psycopg.Connection) -> None:
    ended_today = batch_of(put(client, [item(*fresh_keys())]))
    still_open: str = named(client, f"open {fresh_keys()}")["id"]
    client.post(f"/imports/{still_open}/pause")
    age(demo_db, ended_today, still_open, ended=False)
    assert expire("demo") == 0
    assert left(demo_db, ended_today)[0] == left(demo_db, still_open)[0] == 1
    client.post(f"/batches/{still_open}/cancel")
    age(demo_db, ended_today, still_open)
    assert expire("demo") == 2


def test_an_abandoned_import_is_closed_and_the_same_one_begins_anew(
    client: httpx.Client, demo_db: psycopg.Connection
) -> None:
    name, (key, other) = f"idle {fresh_keys()}", fresh_keys(2)
    idle, at_work, paused = opened = [named(client, f"{name} {n}") for n in range(3)]
    for each in opened:
        append(client, each["href"], 0, [item(key)])
    eventually(lambda: not any("pending" in client.get(each["batch"]).json()["counts"] for each in opened))
    client.post(f"{paused['href']}/pause")
    ids = [each["id"] for each in opened]
    age(demo_db, *ids, ended=False)
    for last in ("item SET accepted_at", "chunk SET started_at"):
        demo_db.execute(f"UPDATE {last} = {LONG_AGO} WHERE batch_id = ANY(%s)", [[UUID(i) for i in ids]])
    append(client, at_work["href"], 1, [item(other)])
    assert expire("demo") == 0, "none is forgotten before it has ended for as long"
    assert finished(client, idle["batch"])["counts"] == {"created": 1}
    assert "no row came for 90 days" in client.get(idle["href"]).json()["error"]
    assert [client.get(each["href"]).json()["state"] for each in (at_work, paused)] == ["open", "open"]
    assert named(client, f"{name} 0")["id"] != idle["id"]
    for each in (at_work, paused):
        client.post(f"{each['batch']}/cancel")
        finished(client, each["batch"])
    age(demo_db, *ids)
    assert expire("demo") == 3


def test_a_parent_stays_as_long_as_a_child(client: httpx.Client, demo_db: psycopg.Connection) -> None:
    with refusing(demo_db):
        parent = batch_of(put(client, [item(*fresh_keys(), comment="refuse")]))
    child: str = client.post(f"/batches/{parent}/retry", headers={"Prefer": "wait=20"}).json()["id"]
    age(demo_db, parent)
    assert expire("demo") == 0
    age(demo_db, child)
    assert expire("demo") == 2


def test_an_idempotency_key_lives_as_long_as_its_batch(client: httpx.Client, demo_db: psycopg.Connection) -> None:
    (key,) = fresh_keys()
    said = {"Idempotency-Key": f"kept {key}"}
    first = batch_of(put(client, [item(key)], **said))
    assert expire("demo") == 0
    assert batch_of(put(client, [item(key)], **said)) == first
    age(demo_db, first)
    assert expire("demo") == 1
    assert batch_of(put(client, [item(key)], **said)) != first


def test_a_deletion_is_remembered_as_long_as_something_older_can_be_retried(
    client: httpx.Client, demo_db: psycopg.Connection
) -> None:
    (key,) = fresh_keys()
    with refusing(demo_db):
        failed = batch_of(put(client, [item(key, comment="refuse")]))
    created = batch_of(put(client, [item(key)]))
    client.delete(f"/case-attachments/{key}")
    row = demo_db.execute("SELECT batch_id FROM item WHERE key = %s AND outcome = 'deleted'", [key]).fetchone()
    assert row
    deleted = str(row[0])
    age(demo_db, created, deleted)
    age(demo_db, failed, ended=False)  # it began before them and ended yesterday, as a long import may
    demo_db.execute("UPDATE batch SET accepted_at = accepted_at - interval '1 day' WHERE id = %s", [failed])
    assert expire("demo") == 1
    assert (left(demo_db, created)[0], left(demo_db, deleted)[0]) == (0, 1)
    retried = client.post(f"/batches/{failed}/retry", headers={"Prefer": "wait=20"}).json()
    assert retried["counts"] == {"skipped": 1}, "it was overtaken by the deletion"
    age(demo_db, failed, retried["id"])
    assert expire("demo") == 3


def test_an_import_goes_with_its_rows_in_many_small_steps_and_its_name_is_free(
    client: httpx.Client, demo_db: psycopg.Connection
) -> None:
    name = f"kept {fresh_keys()}"
    text = "caseAttachment_Key,case_Key\n" + "".join(f"{key},1\n" for key in fresh_keys(12_000))
    sent = {"params": {"name": name}, "content": text.encode(), "headers": {"Content-Type": "text/csv"}}
    opened = client.post("/imports", **sent).json()  # type: ignore[arg-type]  # headers and all
    for _ in range(10):
        if client.get(opened["batch"], headers={"Prefer": "wait=20"}).json()["state"] == "finished":
            break
    age(demo_db, opened["id"])
    with ThreadPoolExecutor(3) as pool:
        assert sum(pool.map(expire, ["demo"] * 3)) == 1
    assert left(demo_db, opened["id"]) == (0, 0, 0)
    assert client.get(opened["href"]).status_code == 404


def test_a_child_stays_as_long_as_its_parent_can_be_retried(client: httpx.Client, demo_db: psycopg.Connection) -> None:
    with refusing(demo_db):
        parent = batch_of(put(client, [item(0, comment="refuse")]))
    child: str = client.post(f"/batches/{parent}/retry", headers={"Prefer": "wait=20"}).json()["id"]
    age(demo_db, child)
    assert expire("demo") == 0
    assert client.post(f"/batches/{parent}/retry").status_code == 409, "the child tells that it has been done"
    age(demo_db, parent)
    assert expire("demo") == 2


def test_what_is_about_to_be_forgotten_is_not_retried(client: httpx.Client, demo_db: psycopg.Connection) -> None:
    with refusing(demo_db):
        old = batch_of(put(client, [item(*fresh_keys(), comment="refuse")]))
    age(demo_db, old)
    refused = client.post(f"/batches/{old}/retry")
    assert refused.status_code == 409
    assert "more than 90 days ago" in refused.json()["error"]["detail"]
    assert expire("demo") == 1


def test_of_a_batch_that_is_forgotten_in_part_nothing_is_retried(
    client: httpx.Client, demo_db: psycopg.Connection
) -> None:
    half = batch_of(put(client, [None] * 6000))
    demo_db.execute("UPDATE item SET outcome = 'failed', retry = 'as-is' WHERE batch_id = %s", [half])
    age(demo_db, half)
    with transaction("demo") as session:
        assert expire_batches(session, timedelta(days=90)) == (0, True)
    assert left(demo_db, half)[2] == 1000
    demo_db.execute("UPDATE batch SET finished_at = now() WHERE id = %s", [half])  # as if batches were kept for longer
    assert client.post(f"/batches/{half}/retry").status_code == 409
    age(demo_db, half)
    assert expire("demo") == 1


def test_many_that_expire_at_once_are_each_counted_once(client: httpx.Client, demo_db: psycopg.Connection) -> None:
    made = [batch_of(put(client, [None])) for _ in range(50)]
    age(demo_db, *made)
    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(expire, ["demo"] * 4)) == 50
