"""Back-pressure: what can't be taken in is refused whole and early, what can is not, and health says why."""

import json
import os
import resource
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from support.case_attachments import b64, fresh_keys, item, put, read, statuses
from support.connections import nowhere
from support.file_attachments import fresh_item, send
from support.processes import another_api
from support.waiting import eventually

LARGE = b64(bytes(3 * 2**20))  # more than rides in the ledger


@contextmanager
def api(stack: dict[str, str], client: httpx.Client, folder: Path, **settings: str) -> Iterator[httpx.Client]:
    """A client of another API, whose settings are not the stack's."""
    with (
        another_api(stack, folder, **settings) as (url, _),
        httpx.Client(base_url=url, headers=client.headers, timeout=60) as other,
    ):
        yield other


def health(client: httpx.Client) -> tuple[int, str, dict[str, str]]:
    answer = client.get("/health/ready")
    told: dict[str, Any] = answer.json()
    return answer.status_code, told["status"], {name: said for name, said in told["parts"].items() if said != "ok"}


def test_a_full_ledger_refuses_new_work_and_goes_on_with_all_else(
    stack: dict[str, str], client: httpx.Client, demo_db: psycopg.Connection, tmp_path: Path
) -> None:
    keys = fresh_keys(60)
    with api(stack, client, tmp_path, LIMPET_MOST_OPEN_ITEMS="50") as other:
        with demo_db.transaction():  # while it lasts, no item can end
            demo_db.execute("LOCK TABLE case_attachment IN EXCLUSIVE MODE")
            held = put(other, [item(k) for k in keys], Prefer="respond-async").json()["batch"]
            eventually(lambda: "databases" in health(other)[2])
            before = count_batches(demo_db)
            refused = [
                put(other, [item(1)]),
                other.post("/case-attachments", json=item(0)),
                other.put("/case-attachments/1", json=item(1)),
                other.delete("/case-attachments/1"),
                other.post("/imports", json={"name": "full"}),
                other.post("/uploads"),
                other.post(f"{held['href']}/retry"),
            ]
            files = send(other, fresh_item(), [{"filename": "a", "contentsbase64": {"data": ""}}])
            assert health(other)[:2] == (200, "degraded")
            assert "refused" in health(other)[2]["databases"]
            assert other.get(held["href"]).json()["counts"] == {"pending": 60}
            assert count_batches(demo_db) == before, "nothing was stored"
        assert [(a.status_code, a.json()["error"]["type"].rpartition("#")[2]) for a in refused] == [(503, "full")] * 7
        assert (files.status_code, files.json()["result"]["type"]) == (503, "ERROR")
        assert all(int(a.headers["retry-after"]) > 0 for a in [*refused, files])
        assert client.get(held["href"], headers={"Prefer": "wait=30"}).json()["counts"] == {"created": 60}
        eventually(lambda: health(other)[1] == "ready")
        assert statuses(put(other, [item(k) for k in fresh_keys(3)])) == [201] * 3


def count_batches(database: psycopg.Connection) -> int:
    row = database.execute("SELECT count(*) FROM batch").fetchone()
    assert row
    return int(row[0])


def test_without_the_store_only_what_must_go_there_at_once_is_refused(
    stack: dict[str, str], client: httpx.Client, tmp_path: Path
) -> None:
    small, without, large = fresh_keys(3)
    with api(stack, client, tmp_path, LIMPET_S3_ENDPOINT=nowhere()) as other:
        status, state, parts = health(other)
        assert (status, state, list(parts)) == (200, "degraded", ["store"])
        assert statuses(put(other, [item(small, attachment=b64(b"kept")), item(without)])) == [201, 201]
        refused = put(other, [item(large, attachment=LARGE)])
        assert (refused.status_code, refused.json()["data"]) == (503, None)
        assert int(refused.headers["retry-after"]) > 0
        files = send(other, fresh_item(), [{"filename": "a", "contentsbase64": {"data": LARGE}}])
        assert (files.status_code, files.json()["result"]["type"]) == (503, "ERROR")
    assert read(client, small)["attachment"] == b64(b"kept")
    assert client.get(f"/case-attachments/{large}").status_code == 404


def test_without_the_broker_batches_are_taken_in_and_run(
    stack: dict[str, str], client: httpx.Client, tmp_path: Path
) -> None:
    with api(stack, client, tmp_path, LIMPET_BROKER_URL=f"redis://{nowhere()}/0") as other:
        assert health(other)[:2] == (200, "degraded")
        assert list(health(other)[2]) == ["broker"]
        began = time.monotonic()
        answer = put(other, [item(k) for k in fresh_keys(3)], Prefer="respond-async")
        assert (answer.status_code, time.monotonic() - began < 5) == (202, True)
        done = client.get(answer.json()["batch"]["href"], headers={"Prefer": "wait=40"}).json()
    assert done["counts"] == {"created": 3}, "the stack's relay, whose broker is there, publishes them"


def test_without_the_database_everything_is_503_and_health_says_so(
    stack: dict[str, str], client: httpx.Client, tmp_path: Path
) -> None:
    away = json.dumps({"demo": f"postgresql+psycopg://nobody@{nowhere()}/demo"})
    with api(stack, client, tmp_path, LIMPET_DATABASES=away) as other:
        assert health(other) == (503, "not ready", {"databases": "a database does not answer"})
        for answer in (put(other, [item(1)]), other.get("/case-attachments/1"), other.get("/batches")):
            assert (answer.status_code, answer.json()["data"]) == (503, None)
            assert int(answer.headers["retry-after"]) > 0
        assert send(other, fresh_item(), []).json()["result"]["type"] == "ERROR"


def test_one_database_that_is_away_does_not_take_the_others_with_it(
    stack: dict[str, str], client: httpx.Client, tmp_path: Path
) -> None:
    known = json.loads(stack["LIMPET_DATABASES"])
    half = json.dumps({**known, "acme": f"postgresql+psycopg://nobody@{nowhere()}/acme"})
    with api(stack, client, tmp_path, LIMPET_DATABASES=half) as other:
        assert health(other) == (200, "degraded", {"databases": "a database does not answer"})
        assert statuses(put(other, [item(*fresh_keys())])) == [201]


def test_a_disk_that_is_nearly_full_refuses_large_bodies_only(
    stack: dict[str, str], client: httpx.Client, tmp_path: Path
) -> None:
    (key,) = fresh_keys()
    with api(stack, client, tmp_path, LIMPET_SPOOL_FREE=str(2**60)) as other:
        assert health(other)[:2] == (200, "degraded")
        assert list(health(other)[2]) == ["disk"]
        refused = put(other, [item(key, attachment=LARGE)])
        assert (refused.status_code, refused.json()["error"]["type"].rpartition("#")[2]) == (503, "full")
        assert int(refused.headers["retry-after"]) > 0
        assert statuses(put(other, [item(key, attachment=b64(b"small"))])) == [201]


def test_a_disk_that_fills_while_a_body_comes_refuses_it_and_keeps_nothing_of_it(
    stack: dict[str, str], client: httpx.Client, tmp_path: Path
) -> None:
    contents = {key: os.urandom(900_000) for key in fresh_keys(6)}
    body = [item(key, attachment=b64(content)) for key, content in contents.items()]
    with another_api(stack, tmp_path) as (url, process), httpx.Client(base_url=url, headers=client.headers) as other:
        # A limit on the size of files: the kernel writes a part, then nothing more, as on a disk that is full.
        resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE, (2_000_000, resource.RLIM_INFINITY))
        refused = put(other, body)
        assert (refused.status_code, refused.json()["error"]["type"].rpartition("#")[2]) == (503, "full")
        assert int(refused.headers["retry-after"]) > 0
        opened = [str(link.readlink()) for link in Path(f"/proc/{process.process.pid}/fd").iterdir() if link.exists()]
        assert not [name for name in opened if name.endswith("(deleted)")], "nothing of it is kept open"
        resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert statuses(put(other, body)) == [201] * 6
    for key, content in contents.items():
        assert client.get(f"/case-attachments/{key}/content").content == content


@contextmanager
def hanging() -> Iterator[tuple[str, list[socket.socket]]]:
    """A server that takes connections and never says a word: its address, and the connections."""
    taken: list[socket.socket] = []

    def take() -> None:
        with suppress(OSError):  # closed: the end
            while True:
                taken.append(server.accept()[0])

    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as thread:
        thread.submit(take)
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}", taken
        finally:
            server.shutdown(socket.SHUT_RDWR)
            for connection in taken:
                connection.close()


def test_a_store_that_hangs_is_asked_once_however_many_ask_for_health(
    stack: dict[str, str], client: httpx.Client, tmp_path: Path
) -> None:
    with (
        hanging() as (address, taken),
        api(stack, client, tmp_path, LIMPET_S3_ENDPOINT=address) as other,
        ThreadPoolExecutor(20) as asking,
    ):
        told = list(asking.map(lambda _: health(other), range(20)))
        assert [(status, state, list(parts)) for status, state, parts in told] == [(200, "degraded", ["store"])] * 20
        assert len(taken) == 1


def test_health_does_not_wait_for_a_database_that_counts_its_items_for_long(
    stack: dict[str, str], client: httpx.Client, demo_db: psycopg.Connection, tmp_path: Path
) -> None:
    with api(stack, client, tmp_path) as other:
        with demo_db.transaction():
            demo_db.execute("LOCK TABLE chunk IN ACCESS EXCLUSIVE MODE")
            began = time.monotonic()
            assert health(other) == (200, "degraded", {"databases": "a database does not answer"})
            assert time.monotonic() - began < 4.5
        eventually(lambda: health(other)[1] == "ready")


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
def test_health_asks_for_no_credentials(stack: dict[str, str], path: str) -> None:
    assert httpx.get(f"{stack['LIMPET_URL']}{path}", trust_env=False).status_code == 200
