"""Deploys: who is told to stop answers or hands back what it holds, in time, and nothing is lost or blamed."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from celery import Celery
from support.case_attachments import connected, fresh_keys, item, put, read
from support.processes import another_api, pids
from support.waiting import eventually, finished

GRACE = 15  # seconds that `limpet up` gives a worker

# A record takes its worker as many seconds as its comment says after 'sleep', in the middle of the transaction.
_SLEEPY = """
CREATE OR REPLACE FUNCTION sleepy() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN IF NEW.comment LIKE 'sleep %' THEN PERFORM pg_sleep(split_part(NEW.comment, ' ', 2)::float); END IF;
RETURN NEW; END $$;
CREATE OR REPLACE TRIGGER sleepy BEFORE INSERT ON case_attachment FOR EACH ROW EXECUTE FUNCTION sleepy();
"""


@contextmanager
def sleepy_records(database: psycopg.Connection) -> Iterator[None]:
    database.execute(_SLEEPY)
    try:
        yield
    finally:
        database.execute("DROP TRIGGER sleepy ON case_attachment")


def all_are_ready(stack: dict[str, str]) -> bool:
    """Whether every worker answers; one that is still being started hears no signal as it should."""
    with Celery(broker=stack["LIMPET_BROKER_URL"]) as app:
        return len(app.control.ping(timeout=1) or ()) == len(pids(stack)["worker"])


def all_have_work(stack: dict[str, str]) -> bool:
    """Whether every worker knows that it has something in hand: only then does it give that five seconds."""
    with Celery(broker=stack["LIMPET_BROKER_URL"]) as app:
        active = app.control.inspect(timeout=0.3).active() or {}
    return len(active) == len(pids(stack)["worker"]) and all(active.values())


def deaths(database: psycopg.Connection, href: str) -> Any:
    return database.execute(
        "SELECT sum(c.deaths), (SELECT sum(deaths) FROM item WHERE batch_id = %(id)s) FROM chunk AS c"
        " WHERE c.batch_id = %(id)s",
        {"id": href.rpartition("/")[2]},
    ).fetchone()


@pytest.mark.parametrize("seconds", [pytest.param(3, marks=pytest.mark.long), 20])
def test_workers_told_to_stop_in_mid_batch_end_or_hand_back_what_they_hold(
    stack: dict[str, str], client: httpx.Client, demo_db: psycopg.Connection, seconds: int
) -> None:
    keys = fresh_keys(6)
    eventually(lambda: all_are_ready(stack))
    with sleepy_records(demo_db):
        sent = [item(key, comment=f"sleep {seconds}") for key in keys]
        href: str = put(client, sent, Prefer="respond-async").json()["batch"]["href"]
        eventually(lambda: all_have_work(stack))
        before = pids(stack)["worker"]
        for pid in before:
            os.kill(pid, signal.SIGTERM)
        eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in before), GRACE + 5)
    # Without the trigger from here on: whatever is done now is done by those who came after.
    assert finished(client, href)["counts"] == {"created": 6}
    assert [read(client, key)["comment"] for key in keys] == [f"sleep {seconds}"] * 6
    assert deaths(demo_db, href) == (0, 0), "nobody is blamed"
    attempts = [a["error"] for n in range(6) for a in client.get(f"{href}/items/{n}").json()["attempts"]]
    assert ("the worker was told to stop" in attempts) == (seconds > GRACE)


def waiting_put(url: str, client: httpx.Client, items: list[dict[str, Any]]) -> Callable[[], httpx.Response]:
    """Send a batch and wait for its end; return what waits for the answer."""
    answers: list[httpx.Response] = []

    def send() -> None:
        with httpx.Client(base_url=url, headers=client.headers, timeout=60) as other:
            answers.append(put(other, items, Prefer="wait=50"))

    thread = threading.Thread(target=send)
    thread.start()

    def answer() -> httpx.Response:
        thread.join(30)
        assert answers, "the connection was broken"
        return answers[0]

    return answer


def test_an_api_told_to_stop_answers_waiting_clients_and_ends(
    stack: dict[str, str], client: httpx.Client, demo_db: psycopg.Connection, tmp_path: Path
) -> None:
    keys = fresh_keys(3)
    with another_api(stack, tmp_path) as (url, api):
        with demo_db.transaction():  # while it lasts, no item can end
            demo_db.execute("LOCK TABLE case_attachment IN EXCLUSIVE MODE")
            answer = waiting_put(url, client, [item(key) for key in keys])
            with connected(stack) as look:
                eventually(lambda: look.execute("SELECT 1 FROM item WHERE key = %s", [keys[0]]).fetchone())
            began = time.monotonic()
            api.stop(GRACE)
            told = answer()
            assert time.monotonic() - began < GRACE
        assert (told.status_code, [e["status"] for e in told.json()["data"]]) == (207, [202] * 3)
        assert told.headers["batch-outcome"] == "pending"
    assert finished(client, told.json()["batch"]["href"])["counts"] == {"created": 3}


def test_events_end_when_the_api_is_told_to_stop_and_go_on_elsewhere(
    stack: dict[str, str], client: httpx.Client, demo_db: psycopg.Connection, tmp_path: Path
) -> None:
    with another_api(stack, tmp_path) as (url, api), demo_db.transaction():
        demo_db.execute("LOCK TABLE case_attachment IN EXCLUSIVE MODE")
        href = put(client, [item(k) for k in fresh_keys(3)], Prefer="respond-async").json()["batch"]["href"]
        with client.stream("GET", f"{url}{href}/events") as stream:
            lines = stream.iter_lines()
            assert next(lines) == "event: progress"
            began = time.monotonic()
            api.stop(GRACE)
            assert "event: end" not in list(lines)
            assert time.monotonic() - began < GRACE
    assert "event: end" in client.get(f"{href}/events", headers={"Last-Event-ID": "0"}).text
