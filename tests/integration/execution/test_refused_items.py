"""Part of a set counts for the next part, also when the database refused the set as a whole."""

import pytest
from sqlalchemy import text
from support.case_attachments import connected, fresh_keys, refusing

from worker.database import transaction
from worker.execution.deliver import deliver
from worker.ledger.accept import append_batch
from worker.ledger.model import ChunkMessage, NewBatch, NewItem

pytestmark = pytest.mark.usefixtures("server_environment")


def accepted(item: NewItem) -> tuple[ChunkMessage, int]:
    """Its chunk, and its order number."""
    with transaction("demo") as session:
        (ring,) = append_batch(session, NewBatch("case_attachments", "test", [item])).messages
        (number,) = session.scalars(text("SELECT acceptance FROM chunk WHERE id = :id"), {"id": ring.chunk_id})
    return ring, number


def outcome(ring: ChunkMessage) -> str:
    with transaction("demo") as session:
        found: str = session.scalars(text("SELECT outcome FROM item WHERE batch_id = :id"), {"id": ring.batch_id}).one()
    return found


def test_a_retry_does_not_bring_back_what_was_deleted_beside_a_refused_item(stack: dict[str, str]) -> None:
    (key,) = fresh_keys()
    made, first = accepted(NewItem("case_attachment.upsert", key, {"case_Key": 1}))
    deliver("demo", [made.chunk_id], "test")
    gone, _ = accepted(NewItem("case_attachment.delete", key, {}))
    refused, _ = accepted(NewItem("case_attachment.upsert", key, {"case_Key": 1, "comment": "refuse this"}))
    again, _ = accepted(NewItem("case_attachment.upsert", key, {"case_Key": 1, "retry_of": [first, 0]}))
    with connected(stack) as database, refusing(database):
        deliver("demo", [again.chunk_id], "test")
    assert [outcome(ring) for ring in (gone, refused, again)] == ["deleted", "failed", "skipped"]


def test_two_retries_of_one_record_both_know_what_was_deleted_between_what_they_repeat() -> None:
    key, other = fresh_keys(2)
    made, before = accepted(NewItem("case_attachment.upsert", key, {"case_Key": 1}))
    deliver("demo", [made.chunk_id], "test")
    gone, _ = accepted(NewItem("case_attachment.delete", key, {}))
    deliver("demo", [gone.chunk_id], "test")
    _, after = accepted(NewItem("case_attachment.upsert", other, {"case_Key": 1}))
    older, _ = accepted(NewItem("case_attachment.upsert", key, {"case_Key": 1, "retry_of": [before, 0]}))
    newer, _ = accepted(NewItem("case_attachment.upsert", key, {"case_Key": 1, "retry_of": [after, 0]}))
    deliver("demo", [newer.chunk_id], "test")
    assert [outcome(ring) for ring in (older, newer)] == ["skipped", "created"]


@pytest.mark.parametrize(
    "how", ["RAISE EXCEPTION 'known already' USING ERRCODE = 'unique_violation'", "RETURN NULL"], ids=["unique", "none"]
)
def test_what_a_trigger_does_not_let_in_fails_alone(stack: dict[str, str], how: str) -> None:
    """Also what looks like a key that somebody else was quicker to take, and what it drops without a word."""
    bad, good = fresh_keys(2)
    items = [NewItem("case_attachment.upsert", bad, {"case_Key": 1, "comment": "refuse this"})]
    items.append(NewItem("case_attachment.upsert", good, {"case_Key": 1}))
    with transaction("demo") as session:
        rings = append_batch(session, NewBatch("case_attachments", "test", items)).messages
    with connected(stack) as database, refusing(database, how):
        said = [deliver("demo", [ring.chunk_id], "test") for ring in rings]
    assert ", ".join(said) in ("1 failed, 1 created", "1 created, 1 failed")
