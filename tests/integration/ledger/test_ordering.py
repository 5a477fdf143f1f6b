"""Whose turn it is: what is appended for the files of one item commits in the order of its numbers."""

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from sqlalchemy.orm import Session
from support.case_attachments import until_it_waits
from support.file_attachments import fresh_item

from schemas.kinds import FILE_DELETE_ALL
from worker.database import engine
from worker.kinds.file.rows import Collection
from worker.ledger.accept import accept
from worker.ledger.model import Accepted, NewBatch, NewItem
from worker.ledger.retry import RetryRequest, retry
from worker.verdicts import Verdict

_FAILED = Verdict("failed", 500, "The database refused it", "as-is")


@pytest.mark.usefixtures("server_environment")
def test_a_batch_waits_for_a_retry_that_has_its_number_already(demo_db: psycopg.Connection) -> None:
    pair = Collection(*fresh_item().split("/"))
    failed = delete_all(pair, _FAILED)
    with ThreadPoolExecutor(1) as thread, Session(engine("demo")) as early:
        child = retry(early, RetryRequest(failed.batch_id, "test", force=False))
        assert child is not None
        later = thread.submit(delete_all, pair)
        until_it_waits(demo_db, "advisory")
        early.commit()
        batches = [child.batch_id, later.result(20).batch_id]
    in_order = demo_db.execute("SELECT batch_id FROM item WHERE batch_id = ANY(%s) ORDER BY acceptance", [batches])
    assert [batch for (batch,) in in_order] == batches


def delete_all(pair: Collection, verdict: Verdict | None = None) -> Accepted:
    payload: dict[str, object] = {"table": pair.table, "item": pair.item, "mode": "DELETE", "contents": False}
    items = [NewItem(FILE_DELETE_ALL, pair.key, payload, verdict=verdict)]
    return accept("demo", NewBatch("file_attachments", "test", items))
