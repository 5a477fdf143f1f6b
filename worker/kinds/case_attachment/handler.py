"""Apply items to case attachments as a set: one read and one write of the table for all locked items.

`step` is a pure function of a record and an item, so the items of one key are applied one after another in memory.
"""

from collections.abc import Mapping, Sequence

from psycopg.errors import UniqueViolation
from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from worker.database import copy_rows
from worker.errors import OvertakenError
from worker.kinds.case_attachment.keys import generate_keys
from worker.kinds.case_attachment.rows import COLUMNS, FIELDS, Record, load_records
from worker.kinds.case_attachment.step import step
from worker.ledger.open_items import OpenItem, is_superseded
from worker.ledger.tombstones import find_deletions, oldest_retried
from worker.verdicts import SUPERSEDED, Verdict


def apply_items(session: Session, items: Sequence[OpenItem]) -> list[Verdict]:
    """Apply ``items`` in their order, and return their verdicts in that order.

    Raises:
        OvertakenError: another transaction created a key between the read and the write.

    """
    fresh = iter(generate_keys(session, sum(item.key is None for item in items)))
    keys = [next(fresh) if item.key is None else item.key for item in items]
    before = load_records(session, {item.key for item in items if item.key is not None}, lock=True)
    after: dict[int, Record | None] = dict(before)
    changed = _find_last_changes(session, before, items)
    verdicts = []
    for key, item in zip(keys, items, strict=True):
        if is_superseded(item, changed.get(key, _NEVER)):
            verdicts.append(SUPERSEDED.on(key))
            continue
        after[key], verdict = step(after.get(key), item, key)
        if verdict.outcome in ("created", "updated", "deleted"):
            changed[key] = (item.acceptance, item.position)
        verdicts.append(verdict)
    _write(session, before, after)
    return verdicts


_NEVER = (0, 0)


def _find_last_changes(
    session: Session, before: Mapping[int, Record], items: Sequence[OpenItem]
) -> dict[int, tuple[int, int]]:
    """Return the order of the last change of each key, as far as the retries among ``items`` need it."""
    orders = {key: (r.acceptance, r.position) for key, r in before.items()}
    gone = {key: since for key, since in oldest_retried(items).items() if key not in before}
    return orders | {deletion.key: deletion.order for deletion in find_deletions(session, gone)}


_TYPES = (
    "int4", "int4", "text", "text", "text", "text", "text", "timestamptz", "text", "timestamptz",
    "int8", "int8", "int4",
)  # fmt: skip
_COPY = f"COPY case_attachment ({COLUMNS}) FROM STDIN (FORMAT BINARY)"
_SETS = ", ".join(f"{c} = n.{c}" for c in FIELDS[1:])
_UPDATE = text(
    f"""
    UPDATE case_attachment AS r SET {_SETS}
    FROM json_to_recordset(CAST(:rows AS json)) AS n ({", ".join(map(" ".join, zip(FIELDS, _TYPES, strict=True)))})
    WHERE r.case_attachment_key = n.case_attachment_key
    """  # noqa: S608  constants
)
_DELETE = text("DELETE FROM case_attachment WHERE case_attachment_key = ANY(:keys)")


def _write(session: Session, before: Mapping[int, Record], after: Mapping[int, Record | None]) -> None:
    made = [r for key, r in after.items() if r is not None and key not in before]
    changed = [r for key, r in after.items() if r is not None and key in before and r != before[key]]
    gone = [key for key, r in after.items() if r is None and key in before]
    if made:
        _insert(session, made)
    if changed:
        session.execute(_UPDATE, {"rows": to_json([r._asdict() for r in changed]).decode()})
    if gone:
        session.execute(_DELETE, {"keys": gone})


def _insert(session: Session, made: Sequence[Record]) -> None:
    # A third of the database's time for INSERT with ON CONFLICT DO NOTHING, of one record as of many.
    try:
        number = copy_rows(session, _COPY, _TYPES, made)
    except DBAPIError as fault:
        # Only of the key: what else is unique, by an index or trigger of the database's own, would be refused for ever.
        if isinstance(fault.orig, UniqueViolation) and fault.orig.diag.constraint_name == "case_attachment_pkey":
            raise OvertakenError("a key was created by another transaction meanwhile") from fault
        raise
    if number != len(made):
        raise RuntimeError(f"{len(made)} records to insert, {number} of them taken by the database")
