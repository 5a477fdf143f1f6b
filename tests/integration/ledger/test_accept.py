"""Accept: what one statement makes of a light batch is what the three of any other make of it."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import Row, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from support.case_attachments import fresh_keys

from schemas.kinds import FILE_DELETE, UPSERT
from worker.blobs.lifecycle import StoredContent
from worker.database import autocommit, engine
from worker.errors import IdempotencyConflictError
from worker.ledger.accept import append_batch
from worker.ledger.chunking import MAX_SINGLE_ITEMS, MAX_WAITING_CHUNKS
from worker.ledger.model import Accepted, NewBatch, NewItem
from worker.ledger.uuid7 import first_id
from worker.settings import settings
from worker.verdicts import Verdict

_REFUSED = Verdict("invalid", 422, "Not valid", "after-fix")


@pytest.fixture
def ledger(alone: psycopg.Connection) -> Iterator[Session]:  # noqa: ARG001  it makes the database
    """A transaction in a ledger that is empty."""
    with Session(engine("alone")) as session:
        yield session
        session.rollback()


def test_a_light_batch_is_as_any_other(ledger: Session) -> None:
    items = [*upserts(2), NewItem(UPSERT, None, {"content": "clear"})]
    light, other = (append_batch(ledger, NewBatch("test", "test", some)) for some in (items, [*items, refused()]))
    assert rows(ledger, light) == [row for row in rows(ledger, other) if row.position < 3]
    assert [(row.key, row.payload) for row in rows(ledger, light)] == [(item.key, item.payload) for item in items]
    assert chunks(ledger, light) == chunks(ledger, other)[:3]
    assert [(ring.first, ring.last, ring.queue) for ring in light.messages] == [(n, n, "limpet") for n in range(3)]
    assert batch(ledger, light) == ("test", "test", 3, None)
    assert place(ledger, light) < place(ledger, other)


@pytest.mark.parametrize("most", [1, 7])
def test_chunks_grow_as_far_as_is_set(ledger: Session, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setenv("LIMPET_CHUNK_ITEMS", f"{most}")
    settings.cache_clear()
    make_busy(ledger)
    for accepted in both(ledger, 9):
        assert sizes(ledger, accepted) == ([7, 2] if most > 1 else [1] * 9)


def test_chunks_grow_when_many_small_batches_came(ledger: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    second = first_id(time.time() - 1)
    monkeypatch.setattr("worker.ledger.accept.first_id", lambda _: second)  # which may last longer on a busy machine
    most = settings().small_batch
    for _ in range(1 + MAX_SINGLE_ITEMS * settings().worker_processes // most):
        assert len(append_batch(ledger, NewBatch("test", "test", upserts(most))).messages) == most
        hand_back(ledger)
    assert [sizes(ledger, accepted) for accepted in both(ledger, 9)] == [[9], [9]]


def test_chunks_grow_when_many_are_open(ledger: Session) -> None:
    assert [sizes(ledger, accepted) for accepted in both(ledger, 3)] == [[1, 1, 1]] * 2
    make_busy(ledger)
    assert [sizes(ledger, accepted) for accepted in both(ledger, 9)] == [[9], [9]]


def test_a_light_batch_is_accepted_once_under_a_key(ledger: Session) -> None:
    (item,) = upserts(1)
    first = append_batch(ledger, NewBatch("test", "test", [item], "its-key", b"1"))
    again = append_batch(ledger, NewBatch("test", "test", [item], "its-key", b"1"))
    assert (again.batch_id, again.replayed, again.messages) == (first.batch_id, True, [])
    with pytest.raises(IdempotencyConflictError):
        append_batch(ledger, NewBatch("test", "test", [item], "its-key", b"2"))
    assert len(rows(ledger, first)) == 1
    assert ledger.scalar(text("SELECT count(*) FROM item")) == 1


@pytest.mark.usefixtures("alone")
def test_what_one_statement_can_not_take_leaves_nothing() -> None:
    items = [NewItem(UPSERT, key, {"comment": said}) for key, said in zip(fresh_keys(2), ("", "\0"), strict=True)]
    with autocommit("alone") as session:
        with pytest.raises(DBAPIError):
            append_batch(session, NewBatch("test", "test", items))
        assert session.execute(text("SELECT id FROM batch UNION ALL SELECT batch_id FROM item")).all() == []


def test_light_is_only_what_one_statement_can_take() -> None:
    (item,) = upserts(1)
    heavy = [
        replace(item, content=b""),
        replace(item, blob_id=1),
        replace(item, stored=StoredContent("a", bytes(32), 1)),
        replace(item, upload_id=uuid4()),
        replace(item, verdict=_REFUSED),
        replace(item, kind=FILE_DELETE),
    ]
    assert item.is_light
    assert not any(other.is_light for other in heavy)


def make_busy(session: Session) -> None:
    for _ in range(MAX_WAITING_CHUNKS * settings().worker_processes + 1):
        append_batch(session, NewBatch("test", "test", upserts(1)))


def both(session: Session, count: int) -> Iterator[Accepted]:
    """Accept ``count`` items both ways."""
    yield append_batch(session, NewBatch("test", "test", upserts(count)))
    yield append_batch(session, NewBatch("test", "test", [*upserts(count - 1), refused()]))


def sizes(session: Session, accepted: Accepted) -> list[int]:
    return [chunk.last - chunk.first + 1 for chunk in chunks(session, accepted)]


def hand_back(session: Session) -> None:
    """Let what is open be as if it had been tried, so that it keeps no process busy."""
    session.execute(text("UPDATE chunk SET attempts = 1 WHERE state = 'open'"))


def upserts(count: int) -> list[NewItem]:
    return [NewItem(UPSERT, key, {"case_Key": 1, "comment": "“a”\n\\"}) for key in fresh_keys(count)]


def refused() -> NewItem:
    """Return an item with which a batch is no light one."""
    return NewItem(UPSERT, None, {}, verdict=_REFUSED)


def batch(session: Session, accepted: Accepted) -> Sequence[object]:
    statement = text("SELECT kind, caller, total, finished_at FROM batch WHERE id = :id")
    return session.execute(statement, {"id": accepted.batch_id}).one()


def place(session: Session, accepted: Accepted) -> int:
    """Return the place of a batch in the order, which its items and its chunks share."""
    (found,) = {
        int(acceptance)
        for table in ("item", "chunk")
        for acceptance in session.scalars(
            text(f"SELECT acceptance FROM {table} WHERE batch_id = :id"),
            {"id": accepted.batch_id},
        )
    }
    return found


def rows(session: Session, accepted: Accepted) -> Sequence[Row[Any]]:
    columns = "position, kind, key, payload, content, blob_id, outcome, status, deaths"
    statement = text(f"SELECT {columns} FROM item WHERE batch_id = :id ORDER BY position")
    return session.execute(statement, {"id": accepted.batch_id}).all()


def chunks(session: Session, accepted: Accepted) -> Sequence[Row[Any]]:
    columns = "first, last, queue, state, due_at, attempts, rings, invalid, history"
    statement = text(f"SELECT {columns} FROM chunk WHERE batch_id = :id ORDER BY first")
    return session.execute(statement, {"id": accepted.batch_id}).all()
