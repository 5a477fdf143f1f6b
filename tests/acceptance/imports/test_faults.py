"""Imports under faults: whatever is killed, at whatever moment, each row is in once, its bytes as they were."""

import json
import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import psycopg
import pytest
from support.case_attachments import connected, fresh_keys
from support.imports import Command, ended, write_files
from support.processes import pids
from support.waiting import eventually

ROWS, KILLS = 600, 5
_dice = random.Random()


@pytest.fixture
def limpet(stack: dict[str, str]) -> Iterator[Command]:
    command = Command(stack)
    yield command
    for process in command.processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


def kill_part(stack: dict[str, str], name: str) -> bool:
    """Kill every process of that part; whether there was one."""
    found = pids(stack).get(name) or []
    killed = False
    for pid in found if isinstance(found, list) else [found]:
        with suppress(ProcessLookupError):  # it is being started again
            os.kill(pid, signal.SIGKILL)
            killed = True
    return killed


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


_LONG = [pytest.param(victim, marks=pytest.mark.long) for victim in ("command", "postgres", "s3", "api")]


@pytest.mark.parametrize("victim", ["worker", *_LONG])
def test_kills_at_five_random_moments_lose_no_row_and_double_none(
    stack: dict[str, str], limpet: Command, tmp_path: Path, victim: str
) -> None:
    keys = fresh_keys(ROWS)
    files = tmp_path / "files"
    manifest = write_files(files, keys, seed=keys[0])
    paced = ["import", manifest, "--files", files, "--rows-per-second", ROWS // 6]
    if victim == "command":
        for _ in range(KILLS):
            process = limpet.start(*paced, "--json")
            time.sleep(_dice.uniform(0.5, 3))
            process.kill()
            process.communicate()
        end = limpet.end(*paced)
    else:
        process = limpet.start(*paced, "--json")
        for _ in range(KILLS):
            time.sleep(_dice.uniform(0, 1.5))
            eventually(lambda: kill_part(stack, victim))
        out, err = process.communicate(timeout=240)
        assert process.returncode == 0, f"{out}\n{err}"
        end = json.loads(out.splitlines()[-1])
    assert end["counts"] == {"created": ROWS}
    assert rows_there(stack, end["batch"]) == (ROWS, ROWS)
    assert limpet.end("verify", manifest, "--files", files, "--no-extra")["counts"] == {"equal": ROWS}


@pytest.mark.long
def test_the_servers_own_import_goes_on_after_its_workers_were_killed(
    stack: dict[str, str], client: httpx.Client
) -> None:
    keys = fresh_keys(9000)
    text = "caseAttachment_Key,case_Key\n" + "".join(f"{key},1\n" for key in keys)
    opened = client.post(
        f"/imports?name=body {keys[0]}", content=text.encode(), headers={"Content-Type": "text/csv"}
    ).json()
    eventually(lambda: appended(stack, opened["id"]) > 0)
    kill_part(stack, "worker")
    assert ended(client, opened)["counts"] == {"created": 9000}
    assert rows_there(stack, opened["id"]) == (9000, 9000)
