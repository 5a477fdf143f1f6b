"""Several small batches in one message: one transaction, or each for itself."""

from uuid import UUID

import psycopg
import pytest
from sqlalchemy import text
from support.case_attachments import fresh_keys, refusing, until_it_waits
from support.unpublished import accepted, upsert
from support.waiting import eventually

from worker.database import transaction
from worker.execution.deliver import deliver
from worker.ledger.model import ChunkMessage

pytestmark = pytest.mark.usefixtures("server_environment")


def outcomes(database: psycopg.Connection, rings: list[ChunkMessage]) -> list[str | None]:
    """The outcome of the only item of each."""
    found = database.execute(
        "SELECT batch_id, outcome FROM item WHERE batch_id = ANY(%s)", [[ring.batch_id for ring in rings]]
    )
    ends: dict[UUID, str | None] = dict(found.fetchall())
    return [ends[ring.batch_id] for ring in rings]


def test_they_are_carried_out_and_finished_in_one_transaction(demo_db: psycopg.Connection) -> None:
    rings = [accepted(upsert(key)) for key in fresh_keys(4)] + [accepted(upsert(None))]
    assert deliver("demo", [ring.chunk_id for ring in rings], "test") == "5 created"
    ends = demo_db.execute(
        """SELECT xmin::text, finished_at FROM batch WHERE id = ANY(%(ids)s)
           UNION SELECT xmin::text, now() FROM chunk WHERE batch_id = ANY(%(ids)s)""",
        {"ids": [ring.batch_id for ring in rings]},
    ).fetchall()
    assert len({xmin for xmin, _ in ends}) == 1
    assert all(at for _, at in ends)


def test_items_of_one_key_run_in_their_order(demo_db: psycopg.Connection) -> None:
    """Also what was accepted in between, and is named by no message."""
    (key,) = fresh_keys()
    rings = [accepted(upsert(key, comment=f"{n}")) for n in range(5)]
    named = [rings[4], rings[0], rings[2]]
    assert deliver("demo", [ring.chunk_id for ring in named], "test") == "1 created, 2 updated"
    assert outcomes(demo_db, rings) == ["created", *["updated"] * 4]
    found = demo_db.execute("SELECT comment FROM case_attachment WHERE case_attachment_key = %s", [key]).fetchone()
    assert found == ("4",)


def test_what_the_database_refuses_harms_none_of_its_company(demo_db: psycopg.Connection) -> None:
    bad, *good = fresh_keys(4)
    rings = [accepted(upsert(bad, comment="refuse this")), *(accepted(upsert(key)) for key in good)]
    with refusing(demo_db):
        assert deliver("demo", [ring.chunk_id for ring in rings], "test") == "published one by one"
        eventually(lambda: None not in outcomes(demo_db, rings))
    assert outcomes(demo_db, rings) == ["failed", "created", "created", "created"]
    rung = demo_db.execute("SELECT max(rings) FROM chunk WHERE batch_id = ANY(%s)", [[r.batch_id for r in rings]])
    assert rung.fetchone() == (0,)  # not by the relay


def test_one_that_waits_for_a_lock_holds_up_the_others_for_a_moment_only(demo_db: psycopg.Connection) -> None:
    held, other = fresh_keys(2)
    deliver("demo", [accepted(upsert(held)).chunk_id], "test")
    rings = [accepted(upsert(held, comment="later")), accepted(upsert(other))]
    with transaction("demo") as session:
        session.execute(text("SELECT FROM case_attachment WHERE case_attachment_key = :k FOR UPDATE"), {"k": held})
        assert deliver("demo", [ring.chunk_id for ring in rings], "test") == "published one by one"
        eventually(lambda: outcomes(demo_db, rings)[1] == "created")
        until_it_waits(demo_db, "transactionid")  # a worker has the other in hand
    eventually(lambda: outcomes(demo_db, rings)[0] == "updated")


def test_one_that_was_published_again_is_left_to_its_own_message(demo_db: psycopg.Connection) -> None:
    """It may have killed who tried it, and must not take company with it."""
    rings = [accepted(upsert(key)) for key in fresh_keys(3)]
    demo_db.execute("UPDATE chunk SET rings = 2 WHERE id = %s", [rings[1].chunk_id])
    assert deliver("demo", [ring.chunk_id for ring in rings], "test") == "2 created"
    assert outcomes(demo_db, rings) == ["created", None, "created"]
    assert deliver("demo", [rings[1].chunk_id], "test") == "1 created"


def test_a_message_that_comes_twice_does_nothing_the_second_time() -> None:
    chunks = [accepted(upsert(key)).chunk_id for key in fresh_keys(2)]
    assert deliver("demo", chunks, "test") == "2 created"
    assert deliver("demo", [*chunks, accepted(upsert(*fresh_keys())).chunk_id], "test") == "1 created"
    assert deliver("demo", chunks, "test") == "nothing to do"
