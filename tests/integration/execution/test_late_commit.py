"""The gap in the order: a batch that took its number early and committed late meets a later one on the same new key."""

import threading
from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy.orm import Session
from support.case_attachments import fresh_keys
from support.waiting import eventually

from worker.database import engine, transaction
from worker.execution.deliver import deliver
from worker.kinds.case_attachment.rows import load_records
from worker.ledger.accept import append_batch
from worker.ledger.model import Accepted, NewBatch, NewItem
from worker.ledger.read import report

# While a record of this comment is on its way in, there is time for somebody else.
_SLOW = """
CREATE OR REPLACE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN IF NEW.comment LIKE 'gap%' THEN PERFORM pg_sleep(1); END IF; RETURN NEW; END $$;
CREATE OR REPLACE TRIGGER slowly BEFORE INSERT ON case_attachment FOR EACH ROW EXECUTE FUNCTION slowly();
"""
_SLEEPS = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"


@pytest.fixture
def slow_inserts(demo_db: psycopg.Connection) -> Iterator[None]:
    demo_db.execute(_SLOW)
    yield
    demo_db.execute("DROP TRIGGER slowly ON case_attachment")


def upsert(session: Session, key: int, comment: str) -> Accepted:
    item = NewItem("case_attachment.upsert", key, {"case_Key": 1, "comment": comment})
    return append_batch(session, NewBatch("case_attachments", "test", [item]))


@pytest.mark.usefixtures("server_environment", "slow_inserts")
def test_two_that_both_find_no_record_end_as_one_created_and_one_updated(demo_db: psycopg.Connection) -> None:
    (key,) = fresh_keys()
    with Session(engine("demo")) as late:
        early_number = upsert(late, key, "gap: early number, late commit")
        with transaction("demo") as session:
            overtaking = upsert(session, key, "gap: late number, early commit")
        threads = [deliver_in_thread(overtaking)]
        eventually(lambda: demo_db.execute(_SLEEPS).fetchone())
        late.commit()
    threads.append(deliver_in_thread(early_number))
    for thread in threads:
        thread.join()
    with transaction("demo") as session:
        batches = [early_number.batch_id, overtaking.batch_id]
        ends = [report.read_items(session, batch)[0] for batch in batches]
        record = load_records(session, [key])[key]
    assert sorted(str(end.outcome) for end in ends) == ["created", "updated"], "one of them came second, and knows it"
    second = next(n for n, end in enumerate(ends) if end.outcome == "updated")
    assert record.comment == ("gap: early number, late commit", "gap: late number, early commit")[second]


def deliver_in_thread(accepted: Accepted) -> threading.Thread:
    (ring,) = accepted.messages
    thread = threading.Thread(target=deliver, args=("demo", [ring.chunk_id], "test"))
    thread.start()
    return thread
