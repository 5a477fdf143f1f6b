"""A database that hangs (it takes connections and answers nothing) makes nobody wait for another one."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from urllib.parse import urlsplit, urlunsplit

import httpx
import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session
from support.case_attachments import connected, fresh_keys, item, put, statuses
from support.connections import Line, line
from support.processes import System, another_system
from support.waiting import eventually

from api_stub.auth.credentials import make_token
from worker.execution.watchdog import find_untaken
from worker.ledger.accept import append_batch
from worker.ledger.model import NewBatch, NewItem


@pytest.fixture(scope="module")
def held(stack: dict[str, str]) -> Iterator[Line]:
    with line(urlsplit(json.loads(stack["LIMPET_DATABASES"])["acme"]).port or 0) as passing:
        yield passing


@pytest.fixture(scope="module")
def system(stack: dict[str, str], held: Line, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Serves ``apart`` and, over the line, acme."""
    acme = urlsplit(json.loads(stack["LIMPET_DATABASES"])["acme"])
    there = urlunsplit(acme._replace(netloc=acme.netloc.replace(f":{acme.port}", f":{held.port}")))
    urls = {"apart": urlunsplit(acme._replace(path="/apart")), "acme": there}
    folder = tmp_path_factory.mktemp("hanging")
    with another_system(stack, folder, "apart", LIMPET_DATABASES=json.dumps(urls)) as running:
        yield running


def test_the_watchdog_asks_for_two_seconds_at_most(system: System) -> None:
    url = json.loads(system.settings["LIMPET_DATABASES"])["apart"]
    assert find_untaken(url, ["limpet"]) == []
    with system.database.transaction():
        system.database.execute("LOCK TABLE chunk")
        with pytest.raises(TimeoutError):
            find_untaken(url, ["limpet"])


def test_batches_of_other_databases_are_carried_out_and_answered(
    stack: dict[str, str], held: Line, system: System
) -> None:
    key, other, unrung = fresh_keys(3)
    token = make_token(stack["LIMPET_JWT_SECRET"], "tester", ["acme"], timedelta(hours=1))
    headers = {"vbasoftware-database": "acme", "Authorization": f"Bearer {token}"}
    with (
        httpx.Client(base_url=system.client.base_url, headers=headers, timeout=60) as there,
        connected(stack, "acme") as database,
        ThreadPoolExecutor(1) as waits,
    ):
        assert statuses(put(there, [item(key)])) == [201]
        with database.transaction():
            database.execute("SELECT FROM case_attachment WHERE case_attachment_key = %s FOR UPDATE", [key])
            waiting = waits.submit(put, there, [item(key, comment="later")], Prefer="wait=10")
            eventually(lambda: any(lock for (lock,) in database.execute(_WAITING)))
            held.hold()
            # The one who waits, the API's look for it, the relay and a worker are all stuck over there by now.
            assert statuses(put(system.client, [item(other)])) == [201]
            _accept_without_a_ring(system, unrung)
            eventually(lambda: system.client.get(f"/case-attachments/{unrung}").status_code == 200)
        assert not waiting.done()
        held.close()
        waiting.exception(timeout=60)


_WAITING = "SELECT true FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = 'acme'"


def _accept_without_a_ring(system: System, key: int) -> None:
    engine = create_engine(json.loads(system.settings["LIMPET_DATABASES"])["apart"])
    with Session(engine) as session, session.begin():
        append_batch(
            session, NewBatch("case_attachments", "test", [NewItem("case_attachment.upsert", key, {"case_Key": 1})])
        )
    engine.dispose()
