"""Quarantine and limits: an item that ends its worker fails after three deaths of its own, and no other item does."""

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from support.case_attachments import b64, connected, fresh_keys, item, put, read
from support.processes import System, another, another_system, pids
from support.waiting import eventually, finished

HANG = """
CREATE FUNCTION hang() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN IF NEW.comment = 'hang' THEN PERFORM pg_sleep(3600); END IF; RETURN NEW; END $$;
CREATE TRIGGER hang BEFORE INSERT ON case_attachment FOR EACH ROW EXECUTE FUNCTION hang();
"""
QUICK = {"LIMPET_LEASE": "2", "LIMPET_RING_AFTER": "1"}


def sent(client: httpx.Client, *items: dict[str, Any]) -> str:
    href: str = put(client, list(items), Prefer="respond-async").json()["batch"]["href"]
    return href


def report(client: httpx.Client, href: str) -> list[dict[str, Any]]:
    data: list[dict[str, Any]] = client.get(f"{href}/report").json()["data"]
    return data


def attempts(client: httpx.Client, href: str, position: int) -> list[str]:
    told = client.get(f"{href}/items/{position}").json()["attempts"]
    return [attempt["error"] for attempt in told if attempt["error"]]


@pytest.fixture(scope="module")
def limited(stack: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system whose tasks may take four seconds, whose workers little memory, and whose relay publishes again soon."""
    folder = tmp_path_factory.mktemp("limited")
    most = {"LIMPET_TASK_SECONDS": "4", "LIMPET_WORKER_MEMORY": str(224 * 2**20), "LIMPET_INLINE_CONTENT": str(2**28)}
    with another_system(stack, folder, "limited", **QUICK, **most) as system:
        system.database.execute(HANG)
        yield system


@pytest.mark.long
def test_an_item_that_hangs_past_the_time_limit_is_quarantined_alone(limited: System) -> None:
    left, poison, right = fresh_keys(3)
    href = sent(limited.client, item(left), item(poison, comment="hang"), item(right))
    assert finished(limited.client, href, 180)["counts"] == {"created": 2, "failed": 1}
    ends = report(limited.client, href)
    assert [e["status"] for e in ends] == [201, 500, 201]
    assert "died three times" in ends[1]["body"]
    *deaths, last = attempts(limited.client, href, 1)
    assert deaths == ["the worker died or was cut off"] * 4
    assert last.startswith("Quarantined")


def workers_in_mid_item(database: psycopg.Connection, key: int) -> list[int]:
    """The processes that hold a chunk with an item of ``key`` while a statement sleeps; the dead are left out."""
    rows = database.execute(
        "SELECT c.worker FROM chunk AS c JOIN item AS i"
        " ON i.batch_id = c.batch_id AND i.position BETWEEN c.first AND c.last WHERE i.key = %s AND c.state = 'taken'"
        " AND EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep')",
        [key],
    ).fetchall()
    found = [int(re.findall(r"pid (\d+)", worker)[0]) for (worker,) in rows]
    return [pid for pid in found if Path(f"/proc/{pid}").exists()]


def test_an_item_that_kills_its_worker_every_time_is_quarantined_and_its_neighbours_are_not(limited: System) -> None:
    left, poison, right = fresh_keys(3)
    later: list[str] = []
    first = sent(limited.client, item(left), item(poison, comment="hang"), item(right))

    def killed_or_ended() -> bool:
        for pid in workers_in_mid_item(limited.database, poison):
            os.kill(pid, signal.SIGKILL)
        # Once one death is its own, another batch comes to the same record and has to help first. (Sooner, both
        # could be folded into one write, which does not hang.)
        known = limited.database.execute("SELECT 1 FROM item WHERE key = %s AND deaths > 0", [poison]).fetchone()
        if known and not later:
            later.append(sent(limited.client, item(poison, comment="after the poison")))
        return bool(limited.client.get(first).json()["state"] == "finished")

    eventually(killed_or_ended, 120)
    ends = report(limited.client, first)
    assert [e["status"] for e in ends] == [201, 500, 201]
    assert (ends[1]["outcome"], ends[1]["retry"]) == ("failed", "as-is")
    assert "died three times" in ends[1]["body"]
    assert finished(limited.client, later[0])["counts"] == {"created": 1}
    assert read(limited.client, poison)["comment"] == "after the poison"


@pytest.mark.long
def test_an_item_that_takes_more_memory_than_there_is_fails_alone(limited: System) -> None:
    left, poison, right = fresh_keys(3)
    large = b64(bytes(64 * 2**20))
    contents = ((left, b64(b"left")), (poison, large), (right, b64(b"right")))
    href = sent(limited.client, *(item(key, attachment=content) for key, content in contents))
    assert finished(limited.client, href, 180)["counts"] == {"created": 2, "failed": 1}
    ends = report(limited.client, href)
    assert [e["outcome"] for e in ends] == ["created", "failed", "created"]
    assert "died three times" in ends[1]["body"]
    # libpq's words, wherever it met the limit.
    assert re.search(rb"cannot allocate memory|out of memory", limited.worker.log.read_bytes())


def test_workers_have_limits_of_time_and_memory_and_are_renewed(stack: dict[str, str]) -> None:
    (parent, *_) = pids(stack)["worker"]
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    limits = Path(f"/proc/{children[0]}/limits").read_text()
    assert re.search(r"^Max data size +1073741824 ", limits, re.MULTILINE)


@pytest.mark.long
def test_three_restarts_of_the_database_under_one_item_count_against_no_item(
    stack: dict[str, str], client: httpx.Client
) -> None:
    keys = fresh_keys(2)
    with connected(stack) as database:
        database.execute(HANG)
    try:
        href = sent(client, item(keys[0], comment="hang"), item(keys[1]))
        for _ in range(3):
            eventually(lambda: hangs(stack))
            postgres = pids(stack)["postgres"]
            os.kill(postgres, signal.SIGKILL)
            eventually(lambda gone=postgres: pids(stack).get("postgres", gone) != gone)  # type: ignore[misc]  # a default
    finally:
        eventually(lambda: without_hang(stack))
    assert finished(client, href)["counts"] == {"created": 2}
    with connected(stack) as database:
        blamed = database.execute(
            "SELECT sum(c.deaths) + (SELECT sum(deaths) FROM item WHERE batch_id = %(id)s) FROM chunk AS c"
            " WHERE c.batch_id = %(id)s",
            {"id": href.rpartition("/")[2]},
        ).fetchone()
    assert blamed == (0,)


def hangs(stack: dict[str, str]) -> bool:
    try:
        with connected(stack) as database:
            return bool(database.execute("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'").fetchone())
    except psycopg.OperationalError:
        return False


def without_hang(stack: dict[str, str]) -> bool:
    """Remove the trigger and wake whom it holds."""
    try:
        with connected(stack) as database:
            database.execute("SET lock_timeout = '1s'")
            database.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
            database.execute("DROP FUNCTION hang CASCADE")
    except psycopg.OperationalError:
        return False
    return True


@pytest.mark.long
def test_a_worker_that_takes_no_published_message_ends_and_the_next_one_goes_on(
    stack: dict[str, str], limited: System, tmp_path: Path
) -> None:
    eventually(lambda: b" ready." in limited.worker.log.read_bytes(), 120)
    assert finished(limited.client, sent(limited.client, item(*fresh_keys())))["counts"] == {"created": 1}
    deafen = ("celery", "-A", "worker.tasks", "control", "cancel_consumer", "limpet")
    with another(stack, tmp_path / "control.log", *deafen, **limited.settings) as control:
        assert control.process.wait(60) == 0, control.log.read_text()
    href = sent(limited.client, item(*fresh_keys()))
    assert limited.worker.process.wait(150) == os.EX_UNAVAILABLE
    assert "watchdog.stalled" in limited.worker.log.read_text()
    with another(stack, tmp_path / "next.log", *limited.work, **limited.settings):
        assert finished(limited.client, href)["counts"] == {"created": 1}
