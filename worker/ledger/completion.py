"""The transitions to an end: settle items, close chunks, finish batches; each is one guarded statement."""

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.orm import Session

from worker.database import count_changed
from worker.ledger.model import ChunkRange, ItemId, spans
from worker.verdicts import OUTCOMES, Verdict

# Most items end alike, so each end is sent once, with the positions and record keys of all items that have it.
# Without the LIMIT, the planner assumes a hundred ends and reads a small item table whole. Without the OFFSET, it reads
# all items of the batch and compares each with each.
_SETTLE = text("""
    UPDATE item SET outcome = e.outcome, status = e.status, body = e.body, retry = e.retry,
        record_key = e.record_key, errors = CAST(e.errors AS jsonb),
        content = CASE WHEN e.retry = 'as-is' THEN item.content END,
        blob_id = CASE WHEN e.retry = 'as-is' THEN item.blob_id END
    FROM (SELECT end_.*, i.position, i.record_key
          FROM (SELECT * FROM json_to_recordset(CAST(:ends AS json))
                  AS r (batch_id uuid, outcome text, status int, body text, retry text, errors text,
                        positions int[], record_keys bigint[])
                LIMIT :count) AS end_, unnest(end_.positions, end_.record_keys) AS i (position, record_key)
          OFFSET 0) AS e
    WHERE item.batch_id = e.batch_id AND item.position = e.position AND item.outcome IS NULL
""")
_END_COLUMNS = ("batch_id", "outcome", "status", "body", "retry", "errors", "positions", "record_keys")


def settle(session: Session, verdicts: Sequence[tuple[ItemId, Verdict]]) -> None:
    """Settle items: open → an outcome, in the transaction of their effects.

    An item that can be retried as it is keeps its content; the ledger drops the content of all others.

    Raises:
        RuntimeError: an item had an outcome already, so the effect must not be committed.

    """
    columns_by_end: dict[tuple[object, ...], tuple[list[int], list[int | None]]] = {}
    for item_id, v in verdicts:
        errors = to_json(v.errors) if v.errors else None
        end = (item_id.batch_id, v.outcome, v.status, v.body, v.retry, errors)
        positions, record_keys = columns_by_end.setdefault(end, ([], []))
        positions.append(item_id.position)
        record_keys.append(v.record_key)
    ends = [dict(zip(_END_COLUMNS, (*end, *arrays), strict=True)) for end, arrays in columns_by_end.items()]
    settled = count_changed(session, _SETTLE, {"ends": to_json(ends).decode(), "count": len(ends)})
    if settled != len(verdicts):
        raise RuntimeError(f"{len(verdicts)} items to settle, {settled} of them open")


# Counts come from the items themselves: another chunk's worker may have settled some.
_COUNTED = f"""
    (SELECT {", ".join(f"count(*) FILTER (WHERE outcome = '{o}') AS {o}" for o in OUTCOMES)},
            count(*) FILTER (WHERE outcome IS NULL) AS open
     FROM item WHERE item.batch_id = c.batch_id AND item.position BETWEEN c.first AND c.last) AS n
"""  # noqa: S608  constants
_SET_DONE = f"""
    UPDATE chunk SET state = 'done', due_at = NULL, suspect_batch_id = NULL, suspect_position = NULL,
        {", ".join(f"{o} = n.{o}" for o in OUTCOMES)}
"""  # noqa: S608  constants
_CLOSE = text(f"""
    {_SET_DONE}
    FROM chunk AS c, LATERAL {_COUNTED}
    WHERE c.id = ANY(:chunk_ids) AND n.open = 0 AND chunk.id = c.id AND chunk.state <> 'done'
    RETURNING {", ".join(f"n.{o}" for o in OUTCOMES)}
""")
_NO_ROW_FOLLOWS = "NOT EXISTS (SELECT FROM import WHERE import.batch_id = b.id AND import.closed_at IS NULL)"
# Finishes a batch only if the chunk is all of it: two last chunks that commit together would not see each other.
_CLOSE_FRESH = text(f"""
    WITH closed AS (
        {_SET_DONE}, attempts = 1, rings = 0, worker = :worker, started_at = now(),
            server_started_at = pg_postmaster_start_time()
        FROM unnest(CAST(:chunk_ids AS bigint[]), CAST(:batch_ids AS uuid[]), CAST(:firsts AS int[]),
                    CAST(:lasts AS int[])) AS c (id, batch_id, first, last), LATERAL {_COUNTED}
        WHERE n.open = 0 AND chunk.id = c.id AND chunk.state = 'open'
        RETURNING c.batch_id, c.first, c.last, {", ".join(f"n.{o}" for o in OUTCOMES)}
    ), ended AS (
        UPDATE batch AS b SET finished_at = clock_timestamp() FROM closed
        WHERE b.id = closed.batch_id AND b.finished_at IS NULL
          AND closed.first = 0 AND closed.last = b.total - 1 AND {_NO_ROW_FOLLOWS}
        RETURNING b.id, b.cancel_requested_at IS NOT NULL AS given_up
    )
    SELECT {", ".join(OUTCOMES)}, ended.id, ended.given_up
    FROM closed LEFT JOIN ended ON ended.id = closed.batch_id
""")  # noqa: S608  constants


class ClosedChunk(NamedTuple):
    """A chunk that is done, with the number of its items for each outcome that occurs.

    ``ended`` is its batch if the batch was finished with it; ``cancelled`` is then whether cancelling was requested.
    """

    counts: dict[str, int]
    ended: UUID | None = None
    cancelled: bool | None = None


def _nonzero_counts(counts: Sequence[int]) -> dict[str, int]:
    return {outcome: n for outcome, n in zip(OUTCOMES, counts, strict=True) if n}


def close(session: Session, chunk_ids: Sequence[int]) -> list[ClosedChunk]:
    """Close chunks with no open item left: taken or open → done."""
    return [ClosedChunk(_nonzero_counts(counts)) for counts in session.execute(_CLOSE, {"chunk_ids": list(chunk_ids)})]


def close_fresh(session: Session, chunks: Sequence[ChunkRange], worker: str) -> list[ClosedChunk]:
    """Close chunks that `lock_fresh` locked: open → done; finish a batch whose only chunk is among them."""
    rows = session.execute(_CLOSE_FRESH, {**spans(chunks), "worker": worker})
    return [ClosedChunk(_nonzero_counts(counts), ended, cancelled) for *counts, ended, cancelled in rows]


_NO_CHUNK_IS_OPEN = "NOT EXISTS (SELECT FROM chunk WHERE chunk.batch_id = b.id AND chunk.state <> 'done')"
_FINISH = text(f"""
    UPDATE batch AS b SET finished_at = clock_timestamp()
    WHERE id = :batch_id AND finished_at IS NULL AND {_NO_ROW_FOLLOWS} AND {_NO_CHUNK_IS_OPEN}
""")  # noqa: S608  constants


def finish(session: Session, batch_id: UUID) -> bool:
    """Finish the batch once no chunk is open and no import can append more. Of two concurrent calls, one returns True.

    Call it in a transaction of its own, after the last chunk's: two last chunks that commit together would not see each
    other from within.
    """
    return count_changed(session, _FINISH, {"batch_id": batch_id}) == 1


_FINISH_ORPHANS = text(f"""
    UPDATE batch SET finished_at = clock_timestamp()
    WHERE id IN (SELECT id FROM batch AS b WHERE finished_at IS NULL AND accepted_at < clock_timestamp() - :age
                   AND {_NO_ROW_FOLLOWS} AND {_NO_CHUNK_IS_OPEN}
                 LIMIT 100 FOR UPDATE SKIP LOCKED)
    RETURNING id
""")  # noqa: S608  constants


def finish_orphans(session: Session, age: timedelta) -> list[UUID]:
    """Finish batches whose worker died between the last chunk's commit and `finish`; return them."""
    return list(session.scalars(_FINISH_ORPHANS, {"age": age}))
