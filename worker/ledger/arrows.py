"""Every change of state in the ledger: each arrow is one guarded statement here, and nowhere else.

    chunk   open ──claim──► taken ──close──► done      item   open ──settle──► an outcome
              ▲  ◄─release──  │  ◄─┐                    batch  open ──finish──► finished or cancelled
              └──(due)── claim again ┘ extend

Nothing that is done ever goes back. ``docs/states.md`` draws the same.
Cancelling and the arrows of imports are in ``import_arrows``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.orm import Session

from worker.database import count
from worker.ledger.accept import Ring
from worker.verdicts import OUTCOMES, Verdict

MOST_DEATHS = 3
_FIRST_TRY = "2s"


class Place(NamedTuple):
    """Which item: its batch and its position there."""

    batch_id: UUID
    position: int


@dataclass(frozen=True, slots=True)
class Claim:
    """A chunk that this worker holds. ``attempt`` fences it: whoever claims next has a higher one.

    ``alone``: a worker died over this chunk, so its items run one by one. ``fresh``: no attempt is known, and the
    relay rang once at most. ``whole``: it is all of its batch.
    """

    chunk_id: int
    batch_id: UUID
    first: int
    last: int
    acceptance: int
    attempt: int
    alone: bool
    fresh: bool
    whole: bool


# A chunk still 'taken' when it is due lost its worker. That counts as a death (of the item that ran
# alone, if one did), unless the server was restarted meanwhile: then nobody is to blame.
_CLAIM = text("""
    WITH mine AS (
        SELECT c.*, c.state = 'taken' AND c.server_started_at = pg_postmaster_start_time() AS died
        FROM chunk AS c
        WHERE c.id = :chunk_id AND (c.state = 'open' OR (c.state = 'taken' AND c.due_at <= clock_timestamp()))
          AND NOT EXISTS (SELECT FROM import WHERE import.batch_id = c.batch_id AND import.paused_at IS NOT NULL)
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
    RETURNING chunk.id, chunk.batch_id, chunk.first, chunk.last, chunk.acceptance, chunk.attempts, chunk.deaths > 0,
        CASE WHEN mine.attempts = 0 AND mine.rings <= 1
             THEN set_config('statement_timeout', :first_try, true) IS NOT NULL ELSE false END,
        (SELECT b.total = chunk.last + 1 AND chunk.first = 0 FROM batch AS b WHERE b.id = chunk.batch_id)
""")


def claim(session: Session, chunk_id: int, worker: str, lease: timedelta) -> Claim | None:
    """Open or overdue → taken. None: it is done, paused, or in other hands (a duplicate message).

    If it is fresh, no statement of this transaction may take longer than two seconds: nobody sees an open claim.
    """
    values = {"chunk_id": chunk_id, "worker": worker, "lease": lease, "first_try": _FIRST_TRY}
    row = session.execute(_CLAIM, values).one_or_none()
    return None if row is None else Claim(*row)


_HOLD = text("""
    UPDATE chunk SET due_at = clock_timestamp() + :lease,
        suspect_batch_id = :suspect_batch_id, suspect_position = :suspect_position
    WHERE id = :chunk_id AND attempts = :attempt AND state = 'taken'
""")


def hold(session: Session, held: Claim, lease: timedelta, suspect: Place | None = None) -> bool:
    """Taken → taken, for another ``lease``; lock the chunk and name the item that is about to run alone.

    False: the lease ran out and somebody else took over, so stop.
    """
    batch_id, position = suspect or (None, None)
    named = {"suspect_batch_id": batch_id, "suspect_position": position}
    return count(session, _HOLD, {"chunk_id": held.chunk_id, "attempt": held.attempt, "lease": lease, **named}) == 1


# The first ten and the last ten attempts are kept: a store that is away for a day must not bloat the ledger.
_RELEASE = text("""
    UPDATE chunk SET state = 'open', due_at = clock_timestamp() + :delay,
        suspect_batch_id = NULL, suspect_position = NULL,
        history = CASE WHEN jsonb_array_length(history) < 20 THEN history ELSE history - 10 END
            || jsonb_build_object('at', started_at, 'worker', worker, 'error', CAST(:error AS text))
    WHERE id = :chunk_id AND attempts = :attempt AND state = 'taken'
""")


def release(session: Session, held: Claim, delay: timedelta, error: str) -> None:
    """Taken → open: hand back, to be looked at after ``delay``; blames nobody."""
    session.execute(
        _RELEASE, {"chunk_id": held.chunk_id, "attempt": held.attempt, "delay": delay, "error": error[:500]}
    )


# Most items of a bite end alike, so each end is said once, with the places and the records of all that end so.
# Without the LIMIT, the planner takes a hundred ends for granted, and reads an item table that is small whole.
_SETTLE = text("""
    UPDATE item SET outcome = e.outcome, status = e.status, body = e.body, retry = e.retry,
        record_key = i.record_key, errors = CAST(e.errors AS jsonb),
        content = CASE WHEN e.retry = 'as-is' THEN item.content END,
        blob_id = CASE WHEN e.retry = 'as-is' THEN item.blob_id END
    FROM (SELECT * FROM json_to_recordset(CAST(:ends AS json))
            AS r (batch_id uuid, outcome text, status int, body text, retry text, errors text,
                  positions int[], record_keys bigint[])
          LIMIT :count) AS e, unnest(e.positions, e.record_keys) AS i (position, record_key)
    WHERE item.batch_id = e.batch_id AND item.position = i.position AND item.outcome IS NULL
""")
_END = ("batch_id", "outcome", "status", "body", "retry", "errors", "positions", "record_keys")


def settle(session: Session, verdicts: Sequence[tuple[Place, Verdict]]) -> None:
    """Open → an outcome, for many items, in the transaction of their effects.

    What can be sent again as it is keeps its content; of all others the ledger lets go.

    Raises:
        RuntimeError: an item had its outcome already, so the effect must not be committed.

    """
    alike: dict[tuple[object, ...], tuple[list[int], list[int | None]]] = {}
    for place, v in verdicts:
        errors = to_json(v.errors) if v.errors else None
        end = (place.batch_id, v.outcome, v.status, v.body, v.retry, errors)
        positions, record_keys = alike.setdefault(end, ([], []))
        positions.append(place.position)
        record_keys.append(v.record_key)
    ends = [dict(zip(_END, (*end, *those), strict=True)) for end, those in alike.items()]
    done = count(session, _SETTLE, {"ends": to_json(ends).decode(), "count": len(ends)})
    if done != len(verdicts):
        raise RuntimeError(f"{len(verdicts)} items to settle, {done} of them open")


# Counts come from the items themselves, so they hold whoever settled them.
_CLOSE = text(f"""
    UPDATE chunk SET state = 'done', due_at = NULL, suspect_batch_id = NULL, suspect_position = NULL,
        {", ".join(f"{o} = n.{o}" for o in OUTCOMES)}
    FROM (SELECT c.id, {", ".join(f"count(*) FILTER (WHERE i.outcome = '{o}') AS {o}" for o in OUTCOMES)}
          FROM chunk AS c JOIN item AS i ON i.batch_id = c.batch_id AND i.position BETWEEN c.first AND c.last
          WHERE c.id = ANY(:chunk_ids)
          GROUP BY c.id HAVING count(*) FILTER (WHERE i.outcome IS NULL) = 0) AS n
    WHERE chunk.id = n.id AND chunk.state <> 'done'
    RETURNING {", ".join(f"chunk.{o}" for o in OUTCOMES)}
""")  # noqa: S608  constants


def close(session: Session, chunk_ids: Sequence[int]) -> list[dict[str, int]]:
    """Taken or open → done, for chunks with no open item left; return for each how many items ended how."""
    rows = session.execute(_CLOSE, {"chunk_ids": list(chunk_ids)})
    return [{outcome: n for outcome, n in row._asdict().items() if n} for row in rows]


_FINISH = text("""
    UPDATE batch SET finished_at = clock_timestamp()
    WHERE id = :batch_id AND finished_at IS NULL
      AND NOT EXISTS (SELECT FROM import WHERE import.batch_id = batch.id AND import.closed_at IS NULL)
      AND NOT EXISTS (SELECT FROM chunk WHERE chunk.batch_id = batch.id AND chunk.state <> 'done')
""")


def finish(session: Session, batch_id: UUID) -> bool:
    """Open → finished, once no chunk is open and no import can bring more. Of two that try at once, one wins.

    In a transaction of its own, after the last chunk's: two last chunks that
    commit together would not see each other from within.
    """
    return count(session, _FINISH, {"batch_id": batch_id}) == 1


_FINISH_ORPHANS = text("""
    UPDATE batch SET finished_at = clock_timestamp()
    WHERE id IN (SELECT id FROM batch AS b WHERE finished_at IS NULL AND accepted_at < clock_timestamp() - :age
                   AND NOT EXISTS (SELECT FROM import WHERE import.batch_id = b.id AND import.closed_at IS NULL)
                   AND NOT EXISTS (SELECT FROM chunk WHERE chunk.batch_id = b.id AND chunk.state <> 'done')
                 LIMIT 100 FOR UPDATE SKIP LOCKED)
    RETURNING id
""")


def finish_orphans(session: Session, age: timedelta) -> list[UUID]:
    """Open → finished, for batches whose finisher died between commit and finish."""
    return list(session.scalars(_FINISH_ORPHANS, {"age": age}))


# A minute at most: rings that are lost while broker or workers are away must not make a chunk wait for long once they
# are back. A ring too many costs its worker one statement.
PAUSE_BEFORE_RINGING = "least(:first * power(2, least(rings, 10)), interval '1 minute')"
# An overdue 'taken' keeps its due time, for that is what lets it be claimed; its rings are spaced all the same.
_RING = text(f"""
    UPDATE chunk SET rings = least(rings + 1, 1000),
        due_at = CASE WHEN state = 'taken' THEN due_at ELSE clock_timestamp() + {PAUSE_BEFORE_RINGING} END
    WHERE id IN (SELECT id FROM chunk
                 WHERE due_at <= clock_timestamp()
                   AND (state = 'open' OR due_at + least(:first * (power(2, least(rings, 10)) - 1),
                                                         interval '1 minute' * rings) <= clock_timestamp())
                   AND NOT EXISTS (SELECT FROM import
                                   WHERE import.batch_id = chunk.batch_id AND import.paused_at IS NOT NULL)
                 ORDER BY due_at LIMIT :limit FOR UPDATE SKIP LOCKED)
    RETURNING id, batch_id, first, last, queue
""")  # noqa: S608  constants


def ring_again(session: Session, first: timedelta, limit: int) -> list[Ring]:
    """Return the chunks that are due, each due again later, doubling from ``first`` to a minute.

    A chunk that a worker is applying is locked, hence skipped: running work is never doubled.
    """
    rows = session.execute(_RING, {"first": first, "limit": limit})
    return [Ring(r.id, r.batch_id, r.first, r.last, r.queue) for r in rows]
