"""Why is it not done? An item tells each attempt, and what it waits for; so does ``limpet why``."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest
from sqlalchemy import text
from support.case_attachments import fresh_keys, item, put, refusing
from support.imports import Command, append, named
from support.waiting import eventually, finished

from worker.database import transaction
from worker.ledger.accept import append_batch
from worker.ledger.model import NewBatch, NewItem


@pytest.fixture
def limpet(stack: dict[str, str]) -> Iterator[Command]:
    command = Command(stack)
    yield command
    for process in command.processes:
        process.communicate()


def story(client: httpx.Client, href: str, position: int = 0) -> dict[str, Any]:
    told: dict[str, Any] = client.get(f"{href}/items/{position}").json()
    return told


def waits_for(client: httpx.Client, href: str, words: str, position: int = 0) -> str:
    """What the item waits for, once that is what the words say."""

    def look() -> str | None:
        said: str = story(client, href, position)["waitsFor"] or ""
        return said if re.search(words, said) else None

    return eventually(look)


def sent(client: httpx.Client, *keys: int) -> str:
    href: str = put(client, [item(k) for k in keys], Prefer="respond-async").json()["batch"]["href"]
    return href


def test_a_worker_an_earlier_item_and_a_pause_after_a_failure(
    client: httpx.Client, demo_db: psycopg.Connection, limpet: Command
) -> None:
    (key,) = fresh_keys()
    with demo_db.transaction():  # no item ends meanwhile; a worker gives up after five seconds and tries again
        demo_db.execute("LOCK TABLE case_attachment IN EXCLUSIVE MODE")
        first = sent(client, key)
        assert re.search(r"^worker \S+ pid \d+, which has it since \d{4}", waits_for(client, first, "which has it"))
        second = sent(client, key)
        ident = first.rpartition("/")[2]
        waits_for(client, second, f"^position 0 of batch {ident}, an earlier item|^worker")
        said = waits_for(client, first, "next attempt")
        assert "LockNotAvailable" in said
        printed = limpet.run("why", ident, 0)
        assert f"case_attachment.upsert of caseAttachment_Key {key}, accepted 20" in printed
        assert "pending (202)" in printed
        assert "LockNotAvailable" in printed
    assert finished(client, second)["counts"] == {"updated": 1}
    assert finished(client, first)["counts"] == {"created": 1}, "the second may have carried out the item of the first"
    assert story(client, first)["attempts"][0]["error"]
    assert limpet.run("why", ident, 0).endswith("created\n")


def test_the_attempt_at_which_an_item_failed_did_not_go_well(
    client: httpx.Client, demo_db: psycopg.Connection, limpet: Command
) -> None:
    with refusing(demo_db):
        href = put(client, [item(*fresh_keys(), comment="refuse")]).json()["batch"]["href"]
    reason = "The database refused it: comment is refused"
    assert [attempt["error"] for attempt in story(client, href)["attempts"]] == [reason]
    assert limpet.run("why", href.rpartition("/")[2], 0).splitlines()[-1].endswith(reason)


def test_a_failed_item_names_the_one_that_repeats_it_and_how_that_stands(
    client: httpx.Client, demo_db: psycopg.Connection, limpet: Command
) -> None:
    keys = fresh_keys(2)
    with refusing(demo_db):
        href = put(client, [item(keys[0]), item(keys[1], comment="refuse")]).json()["batch"]["href"]
        assert limpet.run("why", href.rpartition("/")[2], 1).splitlines()[1].endswith("[retry: as-is]")
        first = client.post(f"{href}/retry", headers={"Prefer": "wait=20"}).json()
    assert story(client, href, 1)["retriedAs"] == {"batch": first["id"], "position": 0, "outcome": "failed"}
    again = client.post(f"{href}/retry", headers={"Prefer": "wait=20"}).json()
    told = limpet.run("why", href.rpartition("/")[2], 1).splitlines()[1]
    assert told.endswith(f"[retried as position 0 of batch {again['id']}: created]")
    grandchild = client.post(f"{first['href']}/retry?force=true", headers={"Prefer": "wait=20"}).json()
    assert story(client, first["href"])["retriedAs"]["batch"] == grandchild["id"]
    assert story(client, href, 0)["retriedAs"] is None


def test_an_import_that_is_paused_or_held_to_a_pace(client: httpx.Client) -> None:
    keys = fresh_keys(4)
    opened = named(client, f"paced {keys[0]}", rowsPerSecond=1)
    client.post(f"{opened['href']}/pause")
    append(client, opened["href"], 0, [item(k) for k in keys])
    assert "paused since" in str(story(client, opened["batch"], 3)["waitsFor"])
    client.post(f"{opened['href']}/resume")
    assert "held to 1 rows a second" in str(story(client, opened["batch"], 3)["waitsFor"])
    client.post(f"{opened['href']}/close")
    assert finished(client, opened["batch"])["counts"] == {"created": 4}


@pytest.mark.usefixtures("server_environment")
def test_a_worker_that_is_free_and_one_that_fell_silent(client: httpx.Client) -> None:
    (key,) = fresh_keys()
    with transaction("demo") as session:
        new = NewBatch("case_attachments", "test", [NewItem("case_attachment.upsert", key, {"case_Key": 1})])
        accepted = append_batch(session, new)  # and no message is published
    href = f"/batches/{accepted.batch_id}"
    assert "a free worker; published again 0 times" in str(story(client, href)["waitsFor"])
    with transaction("demo") as session:
        silent = "state = 'taken', worker = 'gone', started_at = now(), due_at = now(), attempts = 1"
        session.execute(text(f"UPDATE chunk SET {silent} WHERE batch_id = :id"), {"id": accepted.batch_id})
    assert finished(client, href)["counts"] == {"created": 1}
    assert [a["error"] for a in story(client, href)["attempts"]] == ["the database was restarted", None]


def test_an_unknown_item_is_a_clear_refusal(client: httpx.Client, limpet: Command) -> None:
    href = sent(client, *fresh_keys())
    assert "No item 7" in limpet.run("why", href.rpartition("/")[2], 7, code=4)
