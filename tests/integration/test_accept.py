"""Accept: what one statement makes of a light batch is what the three of any other make of it."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from calls import fresh_keys
from sqlalchemy import Row, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from schemas.kinds import UPSERT
from worker.database import autocommit, engine
from worker.errors import IdempotencyConflictError
from worker.ledger.accept import accept
from worker.ledger.cut import MOST_SINGLES, MOST_WAITING
from worker.ledger.new import Accepted, NewBatch, NewItem
from worker.settings import settings
from worker.verdicts import Verdict

_REFUSED = Verdict("invalid", 422, "Not valid", "after-fix")


@pytest.fixture
def idle(server_environment: None) -> Iterator[Session]:  # noqa: ARG001  the settings are its work
    """A transaction that sees nothing of what the tests before have left, and is rolled back."""
    with Session(engine("demo")) as session:
        session.execute(text("UPDATE batch SET total = 1000"))
        hand_back(session)
        yield session
        session.rollback()


def test_a_light_batch_is_as_any_other(idle: Session) -> None:
    items = upserts(3)
    light, other = (accept(idle, NewBatch("test", "test", some)) for some in (items, [*items, refused()]))
    assert rows(idle, light) == [row for row in rows(idle, other) if row.position < 3]
    assert [row.payload for row in rows(idle, light)] == [item.payload for item in items]
    assert chunks(idle, light) == chunks(idle, other)[:3]
    assert [(ring.first, ring.last, ring.queue) for ring in light.rings] == [(n, n, "limpet") for n in range(3)]


def test_chunks_grow_when_many_small_batches_came(idle: Session) -> None:
    most = settings().small_batch
    for _ in range(-(-MOST_SINGLES * settings().worker_processes // most)):
        assert len(accept(idle, NewBatch("test", "test", upserts(most))).rings) == most
        hand_back(idle)
    check_that_they_have_grown(idle)


def test_chunks_grow_when_many_are_open(idle: Session) -> None:
    for _ in range(MOST_WAITING * settings().worker_processes + 1):
        accept(idle, NewBatch("test", "test", upserts(1)))
    check_that_they_have_grown(idle)


def test_a_light_batch_is_accepted_once_under_a_key(idle: Session) -> None:
    (item,) = upserts(1)
    first = accept(idle, NewBatch("test", "test", [item], "its-key", b"1"))
    again = accept(idle, NewBatch("test", "test", [item], "its-key", b"1"))
    assert (again.batch_id, again.replayed, again.rings) == (first.batch_id, True, [])
    with pytest.raises(IdempotencyConflictError):
        accept(idle, NewBatch("test", "test", [item], "its-key", b"2"))
    assert idle.scalar(text("SELECT count(*) FROM item WHERE key = :key"), {"key": item.key}) == 1


@pytest.mark.usefixtures("server_environment")
def test_what_one_statement_can_not_take_leaves_nothing() -> None:
    good, bad = (NewItem(UPSERT, key, {"comment": said}) for key, said in zip(fresh_keys(2), ("", "\0"), strict=True))
    with autocommit("demo") as session:
        with pytest.raises(DBAPIError):
            accept(session, NewBatch("test", "nobody", [good, bad]))
        assert session.scalar(text("SELECT count(*) FROM batch WHERE caller = 'nobody'")) == 0
        assert session.scalar(text("SELECT count(*) FROM item WHERE key = :key"), {"key": good.key}) == 0


def check_that_they_have_grown(session: Session) -> None:
    light, other = (accept(session, NewBatch("test", "test", some)) for some in (upserts(9), [*upserts(8), refused()]))
    assert [(chunk.first, chunk.last) for chunk in (*chunks(session, light), *chunks(session, other))] == [(0, 8)] * 2
    (alone,) = accept(session, NewBatch("test", "test", upserts(1))).rings
    assert (alone.first, alone.last) == (0, 0)


def hand_back(session: Session) -> None:
    """Let what is open be as if it had been tried, so that it keeps no process busy."""
    session.execute(text("UPDATE chunk SET attempts = 1 WHERE state = 'open'"))


def upserts(count: int) -> list[NewItem]:
    return [NewItem(UPSERT, key, {"case_Key": 1, "comment": "“a”\n\\"}) for key in fresh_keys(count)]


def refused() -> NewItem:
    """Return an item with which a batch is no light one."""
    return NewItem(UPSERT, None, {}, verdict=_REFUSED)


def rows(session: Session, accepted: Accepted) -> Sequence[Row[Any]]:
    columns = "position, kind, key, payload, content, blob_id, outcome, status, deaths"
    statement = text(f"SELECT {columns} FROM item WHERE batch_id = :id ORDER BY position")
    return session.execute(statement, {"id": accepted.batch_id}).all()


def chunks(session: Session, accepted: Accepted) -> Sequence[Row[Any]]:
    columns = "first, last, queue, state, due_at, attempts, rings, invalid, history"
    statement = text(f"SELECT {columns} FROM chunk WHERE batch_id = :id ORDER BY first")
    return session.execute(statement, {"id": accepted.batch_id}).all()
