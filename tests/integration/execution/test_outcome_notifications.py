"""A notification carries the outcomes of a small batch, and the answer is what the ledger says."""

from collections.abc import Callable, Iterator
from uuid import UUID

import httpx
import psycopg
import pytest
import redis
from pydantic_core import from_json
from support.case_attachments import fresh_keys, item, put, refusing
from support.unpublished import accepted, upsert

from schemas.kinds import DELETE
from worker.database import transaction
from worker.execution.deliver import deliver
from worker.ledger.accept import append_batch
from worker.ledger.chunking import MAX_SINGLE_ITEMS
from worker.ledger.model import ChunkMessage, NewBatch, NewItem
from worker.settings import settings
from worker.verdicts import Verdict

pytestmark = pytest.mark.usefixtures("server_environment")

Told = Callable[[ChunkMessage], list[tuple[object, ...]]]


@pytest.fixture
def told(stack: dict[str, str]) -> Iterator[Told]:
    """What the next notification of a batch says about its items."""
    with redis.Redis.from_url(stack["LIMPET_BROKER_URL"]) as broker, broker.pubsub() as channel:
        channel.subscribe("limpet.ends")
        assert channel.get_message(timeout=20)

        def of(ring: ChunkMessage) -> list[tuple[object, ...]]:
            while message := channel.get_message(timeout=20):
                database, ended = from_json(message["data"])
                if database == "demo" and str(ring.batch_id) in ended:
                    return [(int(position), *end) for position, end in ended[str(ring.batch_id)].items()]
            raise AssertionError("no notification")

        yield of


def accepted_in_a_crowd(*items: NewItem) -> ChunkMessage:
    """A small batch that is one chunk, because so much has come in just before."""
    refused = NewItem("case_attachment.upsert", None, {}, verdict=Verdict("invalid", 422, "no", "after-fix"))
    few = settings().small_batch
    with transaction("demo") as session:
        for _ in range(MAX_SINGLE_ITEMS * settings().worker_processes // few + 1):
            append_batch(session, NewBatch("case_attachments", "test", [refused] * few))
        (ring,) = append_batch(session, NewBatch("case_attachments", "test", items)).messages
    return ring


def ledger(database: psycopg.Connection, batch_id: UUID) -> list[tuple[object, ...]]:
    return database.execute(
        "SELECT position, outcome, status, body, retry, record_key, errors FROM item WHERE batch_id = %s"
        " ORDER BY position",
        [batch_id],
    ).fetchall()


def test_a_notification_has_each_outcome_of_a_small_batch_as_the_ledger_has_it(
    demo_db: psycopg.Connection, told: Told
) -> None:
    one, gone = fresh_keys(2)
    ring = accepted_in_a_crowd(upsert(one), upsert(one), upsert(None), NewItem(DELETE, gone, {}))
    deliver("demo", [ring.chunk_id], "test")
    ends = told(ring)
    assert ends == ledger(demo_db, ring.batch_id)
    assert [status for _, _, status, *_ in ends] == [201, 200, 201, 404]


def test_a_notification_leaves_out_what_another_worker_carried_out(told: Told) -> None:
    (key,) = fresh_keys()
    early = accepted_in_a_crowd(upsert(key), upsert(*fresh_keys()))
    late = accepted(upsert(key))
    deliver("demo", [late.chunk_id], "test")
    assert [position for position, *_ in told(late)] == [0]
    deliver("demo", [early.chunk_id], "test")
    assert [position for position, *_ in told(early)] == [1]


def test_a_notification_has_no_outcome_of_a_batch_that_was_to_be_cancelled(
    demo_db: psycopg.Connection, told: Told
) -> None:
    """Its state must be read."""
    ring = accepted(upsert(*fresh_keys()))
    demo_db.execute("UPDATE batch SET cancel_requested_at = now() WHERE id = %s", [ring.batch_id])
    deliver("demo", [ring.chunk_id], "test")
    assert told(ring) == []


def test_the_answer_says_what_the_report_says(client: httpx.Client, demo_db: psycopg.Connection) -> None:
    key, bad, refused = fresh_keys(3)
    every = [item(key), item(key, comment="b"), item(bad, entry_Date="soon"), item(0), item(refused, comment="refuse")]
    with refusing(demo_db):
        for items in [*([one] for one in every), every, []]:
            for prefix in ("", "/vbasoftware"):
                answer = client.put(f"{prefix}/case-attachments-batch", json=items)
                assert answer.status_code == 207
                said = answer.json()
                now = client.get(said["batch"]["href"]).json()
                assert {name: now[name] for name in said["batch"]} == said["batch"]
                assert client.get(f"{said['batch']['href']}/report").json()["data"] == said["data"]


def test_a_batch_that_is_sent_again_is_answered_as_it_was(client: httpx.Client) -> None:
    (key,) = fresh_keys()
    headers = {"Idempotency-Key": f"told-{key}"}
    answers = [put(client, [item(key)], **headers).json() for _ in range(3)]
    assert answers[0] == answers[1] == answers[2]
