"""The transitions of a chunk before it is done; each is one guarded statement.

    open ──claim──► taken            taken ──release──► open
    taken and due ──claim──► taken   taken ──renew_lease──► taken
    open ──lock_fresh──► locked until `completion.close_fresh` makes it done in the same transaction
    open or taken, due ──take_due──► the same state, its message published again

A chunk that is done never changes again. The transitions to an end (settle, close, finish) are in ``completion``,
cancelling is in ``cancel``, the transitions of imports are in ``worker.imports.transitions``. See ``docs/states.md``.
"""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

from worker.database import count_changed
from worker.ledger.model import ChunkMessage, ChunkRange, Claim, ItemId

MAX_DEATHS = 3
_SINGLE_TIMEOUT, _SHARED_TIMEOUT = "2s", "500ms"


_NOT_PAUSED = "NOT EXISTS (SELECT FROM import WHERE import.batch_id = c.batch_id AND import.paused_at IS NOT NULL)"
_LOCK_FRESH = text(f"""
    SELECT c.id, c.batch_id, c.first, c.last, set_config('statement_timeout', :first_try, true)
    FROM chunk AS c
    WHERE c.id = ANY(:chunk_ids) AND c.state = 'open' AND c.attempts = 0 AND c.rings <= 1 AND {_NOT_PAUSED}
    FOR UPDATE OF c SKIP LOCKED
""")  # noqa: S608  constants


def lock_fresh(session: Session, chunk_ids: Sequence[int]) -> list[ChunkRange]:
    """Lock and return the fresh ones among the chunks: open, without an attempt, published again once at most.

    The ledger does not show that a fresh chunk is at work, so a statement of this transaction may take two seconds at
    most. With several chunks it is half a second, since one that waits for a lock delays the others.
    """
    values = {"chunk_ids": list(chunk_ids), "first_try": _SINGLE_TIMEOUT if len(chunk_ids) == 1 else _SHARED_TIMEOUT}
    return [ChunkRange(*chunk) for *chunk, _ in session.execute(_LOCK_FRESH, values)]


# A chunk still 'taken' when it is due lost its worker. That counts as a death of the chunk, and of the item that ran
# alone if one did; unless the database server was restarted meanwhile, which explains it.
_CLAIM = text(f"""
    WITH mine AS (
        SELECT c.*, c.state = 'taken' AND c.server_started_at = pg_postmaster_start_time() AS died
        FROM chunk AS c
        WHERE c.id = :chunk_id
          AND (c.state = 'open' OR (c.state = 'taken' AND c.due_at <= clock_timestamp()))
          AND {_NOT_PAUSED}
        FOR UPDATE OF c SKIP LOCKED
    ), blamed AS (
        UPDATE item SET deaths = item.deaths + 1 FROM mine
        WHERE mine.died AND item.batch_id = mine.suspect_batch_id AND item.position = mine.suspect_position
          AND item.outcome IS NULL
    )
    UPDATE chunk SET state = 'taken', attempts = chunk.attempts + 1, worker = :worker,
        started_at = clock_timestamp(), server_started_at = pg_postmaster_start_time(),
        due_at = clock_timestamp() + :lease, rings = 0,
        deaths = chunk.deaths + CASE WHEN mine.died THEN 1 ELSE 0 END,
        suspect_batch_id = NULL, suspect_position = NULL,
        history = CASE WHEN mine.state <> 'taken' THEN chunk.history ELSE
            CASE WHEN jsonb_array_length(chunk.history) < 20 THEN chunk.history ELSE chunk.history - 10 END
            || jsonb_build_object(
            'at', mine.started_at, 'worker', mine.worker,
            'batch', mine.suspect_batch_id, 'position', mine.suspect_position,
            'error', CASE WHEN mine.died THEN 'the worker died or was cut off'
                          ELSE 'the database was restarted' END) END
    FROM mine WHERE chunk.id = mine.id
    RETURNING chunk.id, chunk.batch_id, chunk.first, chunk.last, chunk.attempts, chunk.deaths > 0
""")  # noqa: S608  constants


def claim(session: Session, chunk_id: int, worker: str, lease: timedelta) -> Claim | None:
    """Claim the chunk: open or overdue → taken. None: it is done, paused, or another worker has it."""
    row = session.execute(_CLAIM, {"chunk_id": chunk_id, "worker": worker, "lease": lease}).one_or_none()
    return None if row is None else Claim(*row)


_RENEW_LEASE = text("""
    UPDATE chunk SET due_at = clock_timestamp() + :lease,
        suspect_batch_id = :suspect_batch_id, suspect_position = :suspect_position
    WHERE id = :chunk_id AND attempts = :attempt AND state = 'taken'
""")


def renew_lease(session: Session, chunk: Claim, lease: timedelta, suspect: ItemId | None = None) -> bool:
    """Renew the lease: taken → taken; lock the chunk, and record ``suspect``, the item that is about to run alone.

    False: the lease ran out and another worker claimed the chunk, so the caller must stop.
    """
    batch_id, position = suspect or (None, None)
    values = {
        "chunk_id": chunk.chunk_id,
        "attempt": chunk.attempt,
        "lease": lease,
        "suspect_batch_id": batch_id,
        "suspect_position": position,
    }
    return count_changed(session, _RENEW_LEASE, values) == 1


# The first ten and the last ten attempts are kept: a store that is down for a day must not bloat the ledger.
_RELEASE = text("""
    UPDATE chunk SET state = 'open', due_at = clock_timestamp() + :delay,
        suspect_batch_id = NULL, suspect_position = NULL,
        history = CASE WHEN jsonb_array_length(history) < 20 THEN history ELSE history - 10 END
            || jsonb_build_object('at', started_at, 'worker', worker, 'error', CAST(:error AS text))
    WHERE id = :chunk_id AND attempts = :attempt AND state = 'taken'
""")


def release(session: Session, chunk: Claim, delay: timedelta, error: str) -> None:
    """Release the chunk: taken → open, due after ``delay``; does not count as a death."""
    session.execute(
        _RELEASE, {"chunk_id": chunk.chunk_id, "attempt": chunk.attempt, "delay": delay, "error": error[:500]}
    )


# A minute at most: messages lost while broker or workers are down must not delay a chunk for long once they are back.
# A superfluous message costs its worker one statement.
PUBLISH_BACKOFF = "least(:first * power(2, least(rings, 10)), interval '1 minute')"
# An overdue 'taken' keeps its due time, since the claim needs it; its messages are spaced by the same backoff.
_TAKE_DUE = text(f"""
    UPDATE chunk SET rings = least(rings + 1, 1000),
        due_at = CASE WHEN state = 'taken' THEN due_at ELSE clock_timestamp() + {PUBLISH_BACKOFF} END
    WHERE id IN (SELECT id FROM chunk AS c
                 WHERE due_at <= clock_timestamp()
                   AND (state = 'open' OR due_at + least(:first * (power(2, least(rings, 10)) - 1),
                                                         interval '1 minute' * rings) <= clock_timestamp())
                   AND {_NOT_PAUSED}
                 ORDER BY due_at LIMIT :limit FOR UPDATE SKIP LOCKED)
    RETURNING id, batch_id, first, last, queue
""")  # noqa: S608  constants


def take_due(session: Session, first: timedelta, limit: int) -> list[ChunkMessage]:
    """Return the chunks that are due, and make each due again later: a pause that doubles from ``first`` to a minute.

    A chunk that a worker is applying is locked, hence skipped: running work is never published again.
    """
    rows = session.execute(_TAKE_DUE, {"first": first, "limit": limit})
    return [ChunkMessage(r.id, r.batch_id, r.first, r.last, r.queue) for r in rows]
