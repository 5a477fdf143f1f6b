"""The upsert of one record by SQLAlchemy, as its documentation teaches it; the peers share it."""

import os
from collections.abc import Mapping

from sqlalchemy import create_engine
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.dialects.postgresql.dml import Insert
from sqlalchemy.orm import Session

from worker.record_tables import CaseAttachment

URL = os.environ["BENCH_DATABASE"]
BROKER = os.environ["BENCH_BROKER"]
RESULTS = os.environ["BENCH_RESULTS"]
engine = create_engine(URL)


def upsert_of(*rows: Mapping[str, object]) -> Insert:
    """Return the statement that creates or replaces ``rows``."""
    new = insert(CaseAttachment).values(rows)
    changed = {column.name: column for column in new.excluded if column.name != "case_attachment_key"}
    return new.on_conflict_do_update(index_elements=["case_attachment_key"], set_=changed)


def upsert_one(row: Mapping[str, object]) -> None:
    """Create or replace one record in a session of its own."""
    with Session(engine) as session:
        session.execute(upsert_of(row))
        session.commit()
