"""Row 8: the rate with many records and finished batches already there, against an empty database."""

from contextlib import ExitStack, closing

from bench.bursts import burst
from bench.keys import fresh
from bench.report.lines import Goal, Line
from bench.rows import bodies, row
from bench.servers import Servers
from bench.sizes import Sizes

_CLIENTS = 4
_SIZE = 1000
_ITEMS = 10  # of each finished batch
_ABOVE = 1_500_000_000  # keys of the records that are there already
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
    """Fill one database, and let it and an empty one take turns."""
    assert max(len(name) for name in row(1)) < 64  # the same table as everywhere
    servers.empty_ours("demo")
    with servers.connect("demo") as database:
        database.execute(_RECORDS, {"above": _ABOVE, "count": sizes.records})
        database.execute(_BATCHES, {"above": _ABOVE, "items": _ITEMS, "count": sizes.finished_batches})
        database.execute("VACUUM ANALYZE")  # what autovacuum has done by the time that so much is there
    full: list[float] = []
    empty: list[float] = []
    for database_name in ("demo", "acme"):
        _rate(servers, database_name, 4)  # connections and plans
    for _ in range(sizes.rounds):
        servers.empty_ours("acme")
        empty.append(_rate(servers, "acme", sizes.large_batches))
        full.append(_rate(servers, "demo", sizes.large_batches))
    there = f"{sizes.records:,} records and {sizes.finished_batches:,} finished batches there: nothing there"
    return [Line(8, there, "items/s", full, empty, Goal("≥", 0.90))]


def _rate(servers: Servers, database: str, batches: int) -> float:
    sent = bodies(fresh(_SIZE * batches), batches, _SIZE)
    with ExitStack() as stack:
        callers = [stack.enter_context(closing(servers.caller(database))) for _ in range(_CLIENTS)]
        return _SIZE * batches / burst(callers, sent)
