"""Imports under faults: whatever is killed, at whatever moment, each row is in once, its bytes as they were."""

import json
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from calls import connected, fresh_keys
from manifests import Command, ended, write_files

ROWS = 900
_dice = random.Random()


@pytest.fixture
def limpet(stack: dict[str, str]) -> Iterator[Command]:
    command = Command(stack)
    yield command
    for process in command.processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


def until(look: Callable[[], bool], deadline: float = 60) -> None:
    end = time.monotonic() + deadline
    while not look():
        assert time.monotonic() < end, f"not within {deadline} s"
        time.sleep(0.02)


def kill_part(stack: dict[str, str], name: str) -> None:
    found: Any = json.loads(Path(stack["data"], "pids.json").read_text())[name]
    for pid in found if isinstance(found, list) else [found]:
        os.kill(pid, signal.SIGKILL)


def rows_there(stack: dict[str, str], batch_id: str) -> tuple[int, int]:
    """How many items the batch has, and how many different lines of the manifest they are."""
    with connected(stack) as database:
        found = database.execute(
            "SELECT count(*), count(DISTINCT payload ->> 'line') FROM item WHERE batch_id = %s", [batch_id]
        ).fetchone()
    assert found is not None
    return found[0], found[1]


def appended(stack: dict[str, str], batch_id: str) -> int:
    try:
        return rows_there(stack, batch_id)[0]
    except psycopg.OperationalError:
        return 0


@pytest.mark.parametrize("victim", ["command", "worker", "postgres", "s3", "api"])
def test_a_kill_at_any_moment_loses_no_row_and_doubles_none(
    stack: dict[str, str], limpet: Command, tmp_path: Path, victim: str
) -> None:
    keys = fresh_keys(ROWS)
    moment = _dice.randrange(0, ROWS // 2)
    files = tmp_path / "files"
    manifest = write_files(files, keys, seed=keys[0])
    process = limpet.start("import", manifest, "--files", files, "--json")
    assert process.stdout is not None
    batch = json.loads(process.stdout.readline())["batch"]
    until(lambda: appended(stack, batch) >= moment)
    if victim == "command":
        process.kill()
    else:
        kill_part(stack, victim)
        out, err = process.communicate(timeout=200)
        assert process.returncode == 0, f"killed at {moment}: {out}\n{err}"
    again = limpet.end("import", manifest, "--files", files)
    assert (again["batch"], again["counts"]) == (batch, {"created": ROWS}), f"killed at {moment}"
    assert rows_there(stack, batch) == (ROWS, ROWS)
    assert limpet.end("verify", manifest, "--files", files, "--no-extra")["counts"] == {"equal": ROWS}


def test_the_servers_own_import_goes_on_after_its_workers_were_killed(
    stack: dict[str, str], client: httpx.Client
) -> None:
    keys = fresh_keys(9000)
    text = "caseAttachment_Key,case_Key\n" + "".join(f"{key},1\n" for key in keys)
    opened = client.post(
        f"/imports?name=body {keys[0]}", content=text.encode(), headers={"Content-Type": "text/csv"}
    ).json()
    until(lambda: appended(stack, opened["id"]) > 0)
    kill_part(stack, "worker")
    assert ended(client, opened)["counts"] == {"created": 9000}
    assert rows_there(stack, opened["id"]) == (9000, 9000)
