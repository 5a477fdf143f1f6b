"""``limpet check``: both directions, while everything is in use, and safe repairs only."""

import io
import json
import secrets
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx
import psycopg
import pytest
from support.case_attachments import b64, fresh_keys, item, put, read, statuses
from support.file_attachments import add, fresh_item
from support.imports import Command

from worker import maintenance
from worker.blobs import gc, s3
from worker.blobs.fsck import Checker, Tally

pytestmark = pytest.mark.usefixtures("server_environment")


@pytest.fixture
def limpet(stack: dict[str, str], server_environment: None) -> Iterator[Command]:  # noqa: ARG001  the command's own
    command = Command(stack)
    yield command
    for process in command.processes:
        process.communicate()


def check(limpet: Command, *options: str, code: int) -> dict[str, list[dict[str, Any]]]:
    """The findings by their sort."""
    lines = [json.loads(x) for x in limpet.run("check", "--database=demo", "--json", *options, code=code).splitlines()]
    assert lines[-1]["event"] == "end"
    found: dict[str, list[dict[str, Any]]] = {}
    for line in lines[:-1]:
        found.setdefault(line["sort"], []).append(line)
    assert lines[-1]["findings"] == len(lines) - 1
    return found


def object_of(database: psycopg.Connection, key: int) -> str:
    row = database.execute(
        "SELECT b.object_key FROM case_attachment AS r JOIN blob AS b ON b.id = r.blob_id"
        " WHERE r.case_attachment_key = %s",
        [key],
    ).fetchone()
    assert row
    return str(row[0])


def test_whatever_is_wrong_is_found_and_only_what_is_safe_is_repaired(
    client: httpx.Client, demo_db: psycopg.Connection, limpet: Command
) -> None:
    keys = fresh_keys(3)
    contents = [secrets.token_bytes(100) for _ in keys]
    put(client, [item(k, attachment=b64(c)) for k, c in zip(keys, contents, strict=True)])
    missing, short, other = (object_of(demo_db, key) for key in keys)
    stray = f"demo/blobs/zz/{secrets.token_hex(16)}"
    s3.remove(missing)
    for key, data in ((short, b"short"), (other, secrets.token_bytes(100)), (stray, b"stray")):
        s3.put(key, io.BytesIO(data), len(data))
    try:
        found = check(limpet, "--hashes", code=3)
        assert {sort: [f["object_key"] for f in fs] for sort, fs in found.items()} == {
            "missing": [missing],
            "wrong-size": [short],
            "wrong-hash": [other],
            "unnamed": [stray],
        }
        assert "1 case attachments" in found["missing"][0]["text"]
        assert "wrong-hash" not in check(limpet, code=3), "contents are read on request only"
        repaired = check(limpet, "--repair", code=3)["unnamed"]
        assert (repaired[0]["repaired"], s3.size_of(stray)) == (True, 5), "it is noted, not removed outright"
        assert set(check(limpet, code=3)) == {"missing", "wrong-size"}
        demo_db.execute("UPDATE garbage SET due_at = now() WHERE object_key = %s", [stray])
        maintenance.collect("demo")
        assert stray not in [key for key, _ in s3.listing("demo/blobs/zz/")]
    finally:
        for key, content in zip((missing, short, other), contents, strict=True):
            s3.put(key, io.BytesIO(content), len(content))
    assert check(limpet, "--hashes", code=0) == {}


def test_a_check_of_a_store_that_is_away_is_no_clean_one(limpet: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMPET_S3_ENDPOINT", "127.0.0.1:9")
    assert "demo: StoreUnavailableError" in limpet.run("check", code=1)


def test_a_check_of_a_database_that_refuses_is_no_clean_one(limpet: Command, demo_db: psycopg.Connection) -> None:
    with demo_db.transaction():
        demo_db.execute("LOCK TABLE blob IN ACCESS EXCLUSIVE MODE")
        told = limpet.run("check", "--database=demo", code=1)
    assert "LockNotAvailable" in told
    assert "Traceback" not in told


@pytest.fixture
def stray(server_environment: None) -> Iterator[str]:  # noqa: ARG001  the store's own
    """An object that nothing names, the first of all to be found."""
    key = f"demo/blobs/!{secrets.token_hex(16)}"
    s3.put(key, io.BytesIO(b"stray"), 5)
    yield key
    s3.remove(key)


def test_an_object_that_vanishes_before_it_is_read_is_missing(
    client: httpx.Client, demo_db: psycopg.Connection, stray: str
) -> None:
    (key,) = fresh_keys()
    content = secrets.token_bytes(100)
    put(client, [item(key, attachment=b64(content))])
    vanishing = object_of(demo_db, key)
    findings = Checker("demo", hashes=True, repair=False, tally=Tally()).findings()
    assert next(findings).object_key == stray
    s3.remove(vanishing)  # the listing has it still
    try:
        assert [(found.sort, found.object_key) for found in findings] == [("missing", vanishing)]
    finally:
        s3.put(vanishing, io.BytesIO(content), len(content))


def test_one_check_repairs_at_a_time_and_the_second_says_so(limpet: Command, stray: str) -> None:
    first = Checker("demo", hashes=False, repair=True, tally=Tally()).findings()
    assert next(first).object_key == stray
    assert "demo: RepairedElsewhereError: another check repairs it" in limpet.run("check", "--repair", code=1)
    assert check(limpet, code=0) == {}, "a check that repairs nothing may run beside it"
    assert list(first) == []
    assert check(limpet, "--repair", code=0) == {}


@pytest.mark.long
def test_collectors_at_once_beside_writers_leave_no_orphan_and_take_nothing_that_is_named(
    client: httpx.Client, files: httpx.Client, demo_db: psycopg.Connection
) -> None:
    keys, over = fresh_keys(40), threading.Event()
    pool_of_contents = [secrets.token_bytes(50) for _ in range(8)]  # shared, so that blobs come and go and come back

    def write(turn: int) -> None:
        for n in range(12):
            chosen = [(key, pool_of_contents[(key * (n + 1) + turn) % 8]) for key in keys[turn * 10 : turn * 10 + 10]]
            sent = [item(key, attachment=None if n % 3 == 2 else b64(content)) for key, content in chosen]
            assert set(statuses(put(client, sent))) <= {200, 201}
            add(files, fresh_item(), f"f{n}", pool_of_contents[n % 8])

    def collect() -> int:
        gone = 0
        while not over.is_set():
            gone += gc.collect("demo", timedelta(0))
        return gone

    with ThreadPoolExecutor(7) as pool:
        collectors = [pool.submit(collect) for _ in range(3)]
        for writer in [pool.submit(write, turn) for turn in range(4)]:
            writer.result()
        assert list(Checker("demo", hashes=True, repair=False, tally=Tally()).findings()) == []
        over.set()
        assert sum(c.result() for c in collectors) > 0
    put(client, [item(key, attachment=b64(pool_of_contents[0])) for key in keys])
    assert {read(client, key)["attachment"] for key in keys} == {b64(pool_of_contents[0])}
    gc.collect("demo", timedelta(0))
    unnamed = demo_db.execute("""
        SELECT count(*) FROM blob WHERE NOT EXISTS (SELECT FROM case_attachment AS r WHERE r.blob_id = blob.id)
        AND NOT EXISTS (SELECT FROM file_attachment AS f WHERE f.blob_id = blob.id)
        AND NOT EXISTS (SELECT FROM item AS i WHERE i.blob_id = blob.id)""").fetchone()
    assert unnamed == (0,)
