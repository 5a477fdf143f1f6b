"""Upserts one record with SQLAlchemy, as its documentation teaches; the peers share it."""

import json
import os
from collections.abc import Mapping
from uuid import UUID, uuid4

from sqlalchemy import create_engine
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.dialects.postgresql.dml import Insert
from sqlalchemy.orm import Session

from worker.tables.ledger import ItemTable
from worker.tables.records import CaseAttachmentTable

URL = os.environ["BENCH_DATABASE"]
BROKER = os.environ["BENCH_BROKER"]
RESULTS = os.environ["BENCH_RESULTS"]
engine = create_engine(URL)


def upsert_of(*rows: Mapping[str, object]) -> Insert:
    """Return the statement that creates or replaces ``rows``."""
    new = insert(CaseAttachmentTable).values(rows)
    changed = {column.name: column for column in new.excluded if column.name != "case_attachment_key"}
    return new.on_conflict_do_update(index_elements=["case_attachment_key"], set_=changed)


def upsert_one(row: Mapping[str, object]) -> None:
    """Create or replace one record in a session of its own."""
    with Session(engine) as session:
        session.execute(upsert_of(row))
        session.commit()


def record(row: Mapping[str, object]) -> str:
    """Record one row as a pending item; return its batch id."""
    batch_id = uuid4()
    payload = json.loads(json.dumps(row, default=str))
    with Session(engine) as session:
        session.add(ItemTable(batch_id=batch_id, position=0, acceptance=1, kind="upsert", key=1, payload=payload))
        session.commit()
    return str(batch_id)


def carry_out_recorded(batch_id: str) -> None:
    """Create or replace the record of an item, and write the item's outcome, in one transaction."""
    with Session(engine) as session:
        item = session.get_one(ItemTable, (UUID(batch_id), 0))
        session.execute(upsert_of(item.payload))
        item.outcome, item.status, item.body = "created", 201, "Created"
        session.commit()
