"""Which chunks run in the transaction that claims them, and which in leased execution."""

import psycopg
import pytest
from sqlalchemy import text
from support.case_attachments import connected, fresh_keys, refusing
from support.unpublished import accepted, upsert

from worker.database import transaction
from worker.execution.deliver import deliver
from worker.ledger.model import ChunkMessage

pytestmark = pytest.mark.usefixtures("server_environment")


def transactions(database: psycopg.Connection, ring: ChunkMessage) -> set[int]:
    """The transactions that changed the chunk, its items and its batch last."""
    return {
        row[0]
        for row in database.execute(
            """SELECT xmin::text::bigint FROM chunk WHERE id = %(chunk)s
               UNION SELECT xmin::text::bigint FROM item WHERE batch_id = %(batch)s
               UNION SELECT xmin::text::bigint FROM batch WHERE id = %(batch)s""",
            {"chunk": ring.chunk_id, "batch": ring.batch_id},
        )
    }


def test_a_plain_chunk_is_one_transaction(stack: dict[str, str]) -> None:
    ring = accepted(upsert(*fresh_keys()))
    assert deliver("demo", [ring.chunk_id], "test") == "1 created"
    with connected(stack) as database:
        assert len(transactions(database, ring)) == 1


def test_a_chunk_that_was_published_again_is_claimed_before_it_is_carried_out(stack: dict[str, str]) -> None:
    """It may have killed the worker that tried it, and only a committed claim counts that."""
    ring = accepted(upsert(*fresh_keys()))
    with transaction("demo") as session:
        session.execute(text("UPDATE chunk SET rings = 2 WHERE id = :id"), {"id": ring.chunk_id})
    assert deliver("demo", [ring.chunk_id], "test") == "1 created"
    with connected(stack) as database:
        assert len(transactions(database, ring)) > 1


def test_what_the_database_refuses_is_tried_again_in_leased_execution(stack: dict[str, str]) -> None:
    ring = accepted(upsert(*fresh_keys(), comment="refuse this"))
    with connected(stack) as database, refusing(database):
        assert deliver("demo", [ring.chunk_id], "test") == "1 failed"
        (attempts,) = database.execute("SELECT attempts FROM chunk WHERE id = %s", [ring.chunk_id]).fetchone() or (0,)
    assert attempts == 1


def test_what_waits_for_a_lock_is_soon_seen_to_be_at_work(stack: dict[str, str]) -> None:
    """Nobody sees the claim of a transaction that is still open, so that one gives up and commits it first."""
    (key,) = fresh_keys()
    deliver("demo", [accepted(upsert(key)).chunk_id], "test")
    ring = accepted(upsert(key, comment="later"))
    with connected(stack) as database, connected(stack) as looking:
        with database.transaction():
            database.execute("SELECT FROM case_attachment WHERE case_attachment_key = %s FOR UPDATE", [key])
            said = deliver("demo", [ring.chunk_id], "test")
            state = looking.execute("SELECT state, attempts FROM chunk WHERE id = %s", [ring.chunk_id]).fetchone()
        assert said == "handed back"
        assert state == ("open", 1)
        assert deliver("demo", [ring.chunk_id], "test") == "1 updated"
