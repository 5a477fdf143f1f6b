"""Locking open items while other workers change the same items."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import psycopg
import pytest
from sqlalchemy import text
from support.case_attachments import fresh_keys, until_it_waits

from worker.database import transaction
from worker.ledger import claims
from worker.ledger.accept import append_batch
from worker.ledger.model import Accepted, ChunkMessage, NewBatch, NewItem
from worker.ledger.open_items import lock_open_items


@pytest.mark.usefixtures("server_environment")
def test_locking_open_items_leaves_out_none_that_another_worker_just_gave_its_blob(demo_db: psycopg.Connection) -> None:
    accepted = three_items_of_one_key()
    with ThreadPoolExecutor(1) as thread, transaction("demo") as other:
        # What assigning a blob does to the row: a new version of an item that stays open.
        other.execute(
            text("UPDATE item SET content = NULL WHERE batch_id = :batch AND position = 1"),
            {"batch": accepted.batch_id},
        )
        bitten = thread.submit(positions, accepted.messages[2])
        until_it_waits(demo_db, "transactionid")
        other.commit()
        assert bitten.result(20) == [0, 1, 2]


def three_items_of_one_key() -> Accepted:
    (key,) = fresh_keys()
    items = [NewItem("case_attachment.upsert", key, {"case_Key": 1}, content=b"x") for _ in range(3)]
    with transaction("demo") as session:
        return append_batch(session, NewBatch("case_attachments", "test", items))


def positions(ring: ChunkMessage) -> list[int]:
    with transaction("demo") as session:
        held = claims.claim(session, ring.chunk_id, "test", timedelta(seconds=20))
        assert held
        session.execute(text("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off"))  # as with many items
        items = lock_open_items(session, [held], 1000)
        session.rollback()
    return [item.position for item in items]
