"""Family B and the ledger: batches, waiting, retries, blobs and the schema."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import httpx
import psycopg
import pytest
from support.case_attachments import connected
from support.file_attachments import add, content, data, ends, fresh_item, get, send, update

from worker.blobs.gc import collect

CREATED, UNKNOWN, INVALID = (201, "created"), (404, "failed"), (422, "invalid")


def test_a_failure_shows_in_an_answer_that_does_not_wait(files: httpx.Client) -> None:
    item = fresh_item()
    hasty = send(
        files, item, [{"action": "NOPE"}, {"filename": "a", "contentsbase64": data(b"x")}], {"Prefer": "respond-async"}
    )
    assert (hasty.status_code, hasty.json()["result"]["type"]) == (202, "ERROR")
    assert ends(hasty.json())[0] == INVALID


def test_an_answer_that_does_not_wait_says_accepted_and_where_to_ask(files: httpx.Client) -> None:
    item = fresh_item()
    sent = [{"filename": str(n), "contentsbase64": data(b"x")} for n in range(5)]
    answer = send(files, item, sent, {"Prefer": "respond-async"})
    told = answer.json()
    assert answer.headers["preference-applied"] == "respond-async"
    assert (answer.status_code, told["result"]) == (202, {"type": "OK", "msg": "Accepted"})
    if told["batch"]["state"] != "finished":
        assert (202, "pending") in ends(told)
        assert answer.headers["location"] == told["batch"]["href"]
        assert int(answer.headers["retry-after"]) > 0
    done = files.get(told["batch"]["href"], headers={"Prefer": "wait=20"}).json()
    assert (done["kind"], done["counts"]) == ("file_attachments", {"created": 5})
    assert len(get(files, item)) == 5


def test_an_idempotency_key_repeats_nothing_and_answers_alike(files: httpx.Client) -> None:
    item, key = fresh_item(), {"Idempotency-Key": str(uuid.uuid4())}
    sent = [{"filename": "a", "contentsbase64": data(b"x")}, {"action": "DELETE", "id": 10**15}]
    first = send(files, item, sent, key).json()
    again = send(files, item, sent, key).json()
    assert again == first
    assert ends(first) == [CREATED, UNKNOWN]
    conflict = send(files, fresh_item(), sent, key)
    assert conflict.status_code == 422
    assert conflict.json()["result"]["type"] == "ERROR"


def test_each_action_is_a_task_of_its_own(files: httpx.Client, demo_db: psycopg.Connection) -> None:
    sent = [{"filename": str(n), "contentsbase64": data(b"x")} for n in range(4)]
    batch = update(files, fresh_item(), *sent, deleteAll=True)["batch"]["id"]
    cuts = demo_db.execute("SELECT first, last FROM chunk WHERE batch_id = %s ORDER BY first", [batch]).fetchall()
    assert cuts == [(n, n) for n in range(5)]


def test_one_item_does_not_wait_for_another(
    files: httpx.Client, demo_db: psycopg.Connection, stack: dict[str, str]
) -> None:
    stuck, free = fresh_item(), fresh_item()
    demo_db.execute(_STICK)
    try:
        with connected(stack) as holder:
            holder.execute("SELECT pg_advisory_lock(4711)")
            first = send(
                files, stuck, [{"filename": "stuck", "contentsbase64": data(b"x")}], {"Prefer": "respond-async"}
            )
            assert ends(update(files, free, *[{"filename": str(n), "contentsbase64": data(b"x")} for n in range(3)]))
            assert files.get(first.json()["batch"]["href"]).json()["state"] != "finished"
        done = files.get(first.json()["batch"]["href"], headers={"Prefer": "wait=30"}).json()
    finally:
        demo_db.execute("DROP TRIGGER stick ON file_attachment")
    assert done["counts"] == {"created": 1}


_STICK = """
CREATE OR REPLACE FUNCTION stick() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_advisory_xact_lock(4711); RETURN NEW; END $$;
CREATE OR REPLACE TRIGGER stick BEFORE INSERT ON file_attachment
FOR EACH ROW WHEN (NEW.file_name = 'stuck') EXECUTE FUNCTION stick();
"""


def test_the_report_of_a_batch_names_files_by_id(files: httpx.Client, client: httpx.Client) -> None:
    answer = update(
        files, fresh_item(), {"filename": "a", "contentsbase64": data(b"x")}, {"action": "DELETE", "id": 10**15}
    )
    made = answer["actions"][0]["id"]
    for caller in (files, client):
        report = caller.get(f"{answer['batch']['href']}/report").json()["data"]
        assert [entry["id"] for entry in report] == [[{"key": "id", "value": made}], [{"key": "id", "value": 10**15}]]
    detail = files.get(f"{answer['batch']['href']}/items/0").json()
    assert (detail["kind"], detail["payload"]["file_name"]) == ("file.put", "a")


def test_failed_actions_run_again_unless_a_later_one_overtook_them(
    files: httpx.Client, demo_db: psycopg.Connection
) -> None:
    item = fresh_item()
    sent = [{"filename": f"refuse {n}", "contentsbase64": data(b"x")} for n in range(2)]
    with refusing(demo_db):
        answer = update(files, item, *sent, {"filename": "fine", "contentsbase64": data(b"x")}, deleteAll=True)
    assert ends(answer) == [(500, "failed"), (500, "failed"), CREATED]
    assert "refused" in answer["result"]["msg"]
    update(files, item, sent[1] | {"contentsbase64": data(b"later")})
    child = files.post(f"{answer['batch']['href']}/retry", headers={"Prefer": "wait=20"}).json()
    assert child["counts"] == {"created": 1, "skipped": 1}
    assert {f["fileName"]: content(f) for f in get(files, item)} == {
        "fine": b"x",
        "refuse 0": b"x",
        "refuse 1": b"later",
    }


_REFUSE = """
CREATE OR REPLACE FUNCTION refuse_file() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'the name is refused' USING ERRCODE = 'check_violation'; END $$;
CREATE OR REPLACE TRIGGER refuse_file BEFORE INSERT OR UPDATE ON file_attachment
FOR EACH ROW WHEN (NEW.file_name LIKE 'refuse%') EXECUTE FUNCTION refuse_file();
"""


@contextmanager
def refusing(database: psycopg.Connection) -> Iterator[None]:
    """While the block runs, the database refuses files whose name begins with 'refuse'."""
    database.execute(_REFUSE)
    try:
        yield
    finally:
        database.execute("DROP TRIGGER refuse_file ON file_attachment")


@pytest.mark.usefixtures("server_environment")
def test_no_named_content_is_collected(files: httpx.Client, demo_db: psycopg.Connection) -> None:
    item, kept = fresh_item(), os.urandom(100)
    add(files, item, "kept", kept)
    # Whoever noted it for removal was wrong.
    noted = "INSERT INTO garbage SELECT object_key, now() - interval '1 hour' FROM blob ORDER BY id DESC LIMIT 1"
    demo_db.execute(noted)
    collect("demo", timedelta(0))
    count = demo_db.execute("SELECT count(*) FROM file_attachment").fetchone()
    named = demo_db.execute("SELECT count(*) FROM file_attachment JOIN blob ON blob.id = blob_id").fetchone()
    assert named == count
    assert content(get(files, item)[0]) == kept
