"""Every promise under one fault at a time: each item ends once and right, before a deadline."""

import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import psycopg
import pytest
import redis
from support.case_attachments import b64, connected, fresh_keys, item, put, read, statuses
from support.processes import pids
from support.waiting import eventually, finished

# A record whose comment begins with 'slow' takes its worker three seconds, in the middle of the item's transaction.
_SLOW = """
CREATE OR REPLACE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN IF NEW.comment LIKE 'slow%' THEN PERFORM pg_sleep(3); END IF; RETURN NEW; END $$;
CREATE OR REPLACE TRIGGER slow BEFORE INSERT OR UPDATE ON case_attachment FOR EACH ROW EXECUTE FUNCTION slow();
"""


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


@contextmanager
def slow_records(database: psycopg.Connection) -> Iterator[None]:
    database.execute(_SLOW)
    try:
        yield
    finally:
        database.execute("DROP TRIGGER slow ON case_attachment")


def worker_of(database: psycopg.Connection, batch: str) -> int:
    """The process that carries out a chunk of the batch right now, in the middle of its statement."""

    def look() -> int | None:
        row = database.execute(
            "SELECT worker FROM chunk WHERE batch_id = %s AND state = 'taken' AND EXISTS ("
            "SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep')",
            [batch.rpartition("/")[2]],
        ).fetchone()
        return int(re.findall(r"pid (\d+)", row[0])[0]) if row else None

    return eventually(look)


def send(client: httpx.Client, items: list[Any]) -> str:
    answer = put(client, items, Prefer="respond-async")
    href: str = answer.json()["batch"]["href"]
    return href


def test_a_worker_child_killed_in_mid_item_leaves_each_item_done_once(
    client: httpx.Client, demo_db: psycopg.Connection
) -> None:
    keys = fresh_keys(4)
    with slow_records(demo_db):
        href = send(client, [item(k, comment="slow") for k in keys])
        kill(worker_of(demo_db, href))
        assert finished(client, href)["counts"] == {"created": 4}
    detail = [client.get(f"{href}/items/{n}").json() for n in range(4)]
    assert any("died" in (a["error"] or "") for d in detail for a in d["attempts"])
    assert [read(client, k)["comment"] for k in keys] == ["slow"] * 4


@pytest.mark.parametrize("part", ["worker", "relay", "api"])
def test_a_killed_part_loses_nothing(stack: dict[str, str], client: httpx.Client, part: str) -> None:
    keys = fresh_keys(1500)
    href = send(client, [item(k, comment="kept") for k in keys])
    named = pids(stack)[part]
    for pid in named if isinstance(named, list) else [named]:
        kill(pid)
    assert finished(client, href)["counts"] == {"created": 1500}
    assert read(client, keys[-1])["comment"] == "kept"


def broker(stack: dict[str, str]) -> redis.Redis:
    return redis.Redis.from_url(stack["LIMPET_BROKER_URL"])


def test_emptying_the_broker_after_accept_only_delays(stack: dict[str, str], client: httpx.Client) -> None:
    hrefs = []
    with broker(stack) as connection:
        for _ in range(5):
            hrefs.append(send(client, [item(k) for k in fresh_keys(200)]))
            assert connection.flushall()
    assert [finished(client, href)["counts"] for href in hrefs] == [{"created": 200}] * 5


def test_a_hung_broker_delays_and_blocks_no_accept(stack: dict[str, str], client: httpx.Client) -> None:
    pid = pids(stack)["redis"]
    os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        href = send(client, [item(k) for k in fresh_keys(30)])
        assert time.monotonic() - began < 10, "accepting waits for no broker"
        time.sleep(3)  # the fault itself has to last
    finally:
        os.kill(pid, signal.SIGCONT)
    assert finished(client, href)["counts"] == {"created": 30}


def test_a_killed_broker_comes_back_and_nothing_is_lost(stack: dict[str, str], client: httpx.Client) -> None:
    kill(pids(stack)["redis"])
    href = send(client, [item(k) for k in fresh_keys(300)])
    assert finished(client, href)["counts"] == {"created": 300}


def test_a_database_that_restarts_in_mid_item_counts_against_no_item(
    stack: dict[str, str], client: httpx.Client
) -> None:
    keys = fresh_keys(2)
    with connected(stack) as before:
        before.execute(_SLOW)
        href = send(client, [item(k, comment="slow") for k in keys])
        worker_of(before, href)
        kill(pids(stack)["postgres"])
    assert finished(client, href)["counts"] == {"created": 2}
    with connected(stack) as after:
        after.execute("DROP TRIGGER slow ON case_attachment")
        deaths = after.execute(
            "SELECT sum(deaths) FROM chunk WHERE batch_id = %s", [href.rpartition("/")[2]]
        ).fetchone()
    assert deaths == (0,)


def test_without_the_object_store_contents_wait_and_other_items_do_not(
    stack: dict[str, str], client: httpx.Client
) -> None:
    with_content, without = fresh_keys(2)
    pid = pids(stack)["s3"]
    os.kill(pid, signal.SIGSTOP)
    try:
        href = send(client, [item(with_content, attachment=b64(b"waits")), item(without)])
        eventually(lambda: client.get(href).json()["counts"].get("created") == 1)
        assert client.get(f"/case-attachments/{without}").status_code == 200
        assert client.get(f"/case-attachments/{with_content}").status_code == 404
        detail = eventually(lambda: _with_error(client.get(f"{href}/items/0").json()))
        assert "StoreUnavailable" in detail["attempts"][0]["error"]
        assert detail["waitsFor"]
    finally:
        os.kill(pid, signal.SIGCONT)
    assert finished(client, href)["counts"] == {"created": 2}
    assert read(client, with_content)["attachment"] == b64(b"waits")


def _with_error(detail: dict[str, Any]) -> dict[str, Any] | None:
    return detail if detail["attempts"] and detail["attempts"][0]["error"] else None


def test_after_all_of_that_a_batch_is_still_answered_as_ever(client: httpx.Client) -> None:
    def soon() -> bool:
        began = time.monotonic()
        assert statuses(put(client, [item(*fresh_keys())])) == [201]
        return time.monotonic() - began < 4  # a ring that only the relay sends takes five seconds at least

    eventually(soon, 60)
    assert statuses(put(client, [item(k, attachment=b64(os.urandom(50))) for k in fresh_keys(10)])) == [201] * 10
