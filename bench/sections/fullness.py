"""Row 8: the rate in a database with many records and finished batches, against an empty one."""

from contextlib import ExitStack, closing

from bench.bursts import burst
from bench.keys import fresh
from bench.report.lines import Goal, Line
from bench.rows import bodies, row
from bench.servers import Servers
from bench.sizes import Sizes

_CLIENTS = 4
_BATCH_ITEMS = 1000
_FINISHED_ITEMS = 10  # of each finished batch
_FIRST_OLD_KEY = 1_500_000_000  # keys of the existing records
_RECORDS = """
    INSERT INTO case_attachment (case_attachment_key, case_key, attachment_file, comment, entry_user, entry_date,
                                 update_date, acceptance, position)
    SELECT %(above)s + n, n %% 5000, 'scan-' || n || '.pdf', 'page ' || n || ' of the archive', 'bench', now(), now(),
           nextval('acceptance'), 0
    FROM generate_series(1, %(count)s) AS n
"""
_BATCHES = """
    WITH new AS (
        INSERT INTO batch (id, kind, caller, total, finished_at)
        SELECT gen_random_uuid(), 'case_attachments', 'bench', %(items)s, now() FROM generate_series(1, %(count)s)
        RETURNING id, nextval('acceptance') AS acceptance
    ), carried AS (
        INSERT INTO chunk (batch_id, first, last, acceptance, queue, state, created)
        SELECT id, 0, %(items)s - 1, acceptance, 'limpet', 'done', %(items)s FROM new
    )
    INSERT INTO item (batch_id, position, acceptance, kind, key, payload, outcome, status, record_key, body, retry)
    SELECT id, n, acceptance, 'case_attachment.upsert', %(above)s + n, '{"case_Key": 1}', 'created', 201,
           %(above)s + n, 'Created', 'never'
    FROM new, generate_series(0, %(items)s - 1) AS n
"""


def measure(servers: Servers, sizes: Sizes) -> list[Line]:
    """Fill one database; measure it and an empty one in turns."""
    assert max(len(name) for name in row(1)) < 64  # the same rows as everywhere
    servers.empty_ours("demo")
    with servers.connect("demo") as database:
        database.execute(_RECORDS, {"above": _FIRST_OLD_KEY, "count": sizes.records})
        database.execute(_BATCHES, {"above": _FIRST_OLD_KEY, "items": _FINISHED_ITEMS, "count": sizes.finished_batches})
        database.execute("VACUUM ANALYZE")  # as autovacuum has done in a database of this size
    full: list[float] = []
    empty: list[float] = []
    for database_name in ("demo", "acme"):
        _measure_rate(servers, database_name, 4)  # connections and plans
    for _ in range(sizes.rounds):
        servers.empty_ours("acme")
        empty.append(_measure_rate(servers, "acme", sizes.large_batches))
        full.append(_measure_rate(servers, "demo", sizes.large_batches))
    there = f"{sizes.records:,} records and {sizes.finished_batches:,} finished batches there: nothing there"
    return [Line(8, there, "items/s", full, empty, Goal("≥", 0.90))]


def _measure_rate(servers: Servers, database: str, batches: int) -> float:
    sent = bodies(fresh(_BATCH_ITEMS * batches), batches, _BATCH_ITEMS)
    with ExitStack() as stack:
        callers = [stack.enter_context(closing(servers.caller(database))) for _ in range(_CLIENTS)]
        return _BATCH_ITEMS * batches / burst(callers, sent)
