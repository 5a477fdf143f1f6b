"""How long a chunk waits until its message is published again."""

from datetime import timedelta

import pytest
from sqlalchemy import text
from support.case_attachments import fresh_keys

from worker.database import transaction
from worker.ledger.accept import append_batch
from worker.ledger.claims import take_due
from worker.ledger.model import NewBatch, NewItem


@pytest.mark.usefixtures("server_environment")
@pytest.mark.parametrize("lost", [0, 3, 10, 32_767])
def test_however_many_messages_were_lost_the_next_is_published_within_a_minute(lost: int) -> None:
    (key,) = fresh_keys()
    with transaction("demo") as session:
        item = NewItem("case_attachment.upsert", key, {"case_Key": 1})
        (ring,) = append_batch(session, NewBatch("case_attachments", "test", [item])).messages
        session.execute(
            text("UPDATE chunk SET rings = :lost, due_at = '-infinity' WHERE id = :id"),
            {"lost": lost, "id": ring.chunk_id},
        )
        assert ring.chunk_id in [rung.chunk_id for rung in take_due(session, timedelta(seconds=5), 1)]
        pause = session.scalar(
            text("SELECT due_at - clock_timestamp() FROM chunk WHERE id = :id"), {"id": ring.chunk_id}
        )
        session.rollback()
    assert timedelta(seconds=4) < pause <= timedelta(minutes=1)
