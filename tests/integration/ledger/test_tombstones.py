"""Looking for what was deleted reads no chunk that deleted nothing, however many there are."""

import psycopg

from worker.database import transaction
from worker.ledger.tombstones import find_deletions
from worker.ledger.uuid7 import new_batch_id

_CHUNKS = """
    INSERT INTO chunk (batch_id, first, last, acceptance, queue, state, created, deleted)
    SELECT %s, n, n, nextval('acceptance'), 'limpet', 'done', (n > 0)::int, (n = 0)::int
    FROM generate_series(0, 99999) AS n
"""
_DELETED = """
    INSERT INTO item (batch_id, position, acceptance, kind, key, payload, outcome, status, body)
    VALUES (%s, 0, 1, 'case_attachment.delete', 7, '{}', 'deleted', 204, 'Deleted')
"""
_READ = "SELECT seq_tup_read FROM pg_stat_xact_user_tables WHERE relname = 'chunk'"


def test_of_a_hundred_thousand_chunks_only_those_are_read_that_deleted_something(alone: psycopg.Connection) -> None:
    batch_id = new_batch_id()
    alone.execute(
        "INSERT INTO batch (id, kind, caller, total, finished_at) VALUES (%s, 'test', 'test', 100000, now())",
        [batch_id],
    )
    alone.execute(_CHUNKS, [batch_id])
    alone.execute(_DELETED, [batch_id])
    alone.execute("ANALYZE")
    with transaction("alone") as session:
        assert [deletion.key for deletion in find_deletions(session, {7: 0})] == [7]
        assert session.connection().exec_driver_sql(_READ).scalar() == 0
