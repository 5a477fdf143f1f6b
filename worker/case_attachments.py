"""The handler of family A: what an upsert or a delete does to one record, and how many records change at once.

`step` is a pure function from a record and an item to the record after it and
the verdict, so a chain of items on one key folds in memory and the table is
read once and written once for a whole bite.
"""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from psycopg.errors import UniqueViolation
from pydantic import TypeAdapter
from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from schemas.case_attachment import CaseAttachmentPayload
from schemas.kinds import CREATE, DELETE
from worker.database import copy
from worker.errors import OvertakenError
from worker.ledger.bites import OpenItem, superseded
from worker.ledger.deletions import deletions_since, repeated
from worker.records import COLUMNS, FIELDS, Record, kept_by, load
from worker.verdicts import CREATED, DELETED, SUPERSEDED, UPDATED, Verdict

T = TypeVar("T")


def step(record: Record | None, item: OpenItem, key: int) -> tuple[Record | None, Verdict]:
    """Return what ``item`` makes of ``record`` (the one under ``key``, if any), and the verdict."""
    if item.kind == DELETE:
        if record is None:
            return None, Verdict("failed", 404, f"No case attachment {key} to delete", record_key=key)
        return _guarded(record, item) or (None, DELETED.on(key))
    if item.kind == CREATE and record is not None:
        return record, Verdict("failed", 409, f"Case attachment {key} exists already; PUT replaces it", record_key=key)
    return _guarded(record, item) or _upsert(record, item, key)


def _guarded(record: Record | None, item: OpenItem) -> tuple[Record | None, Verdict] | None:
    """Return the refusal if ``If-Match`` names another version (RFC 9110 §13.1.1), None if it does not."""
    wanted = item.payload.get("if_match")
    if wanted is None or (record is not None and (wanted == ["*"] or record.etag in wanted)):
        return None
    key = record.case_attachment_key if record else item.key
    text_ = "If-Match: the record was changed since it was read; read it again and send what is still wanted"
    return record, Verdict("failed", 412, text_, "after-fix", record_key=key)


_payload = TypeAdapter(CaseAttachmentPayload)


def _upsert(record: Record | None, item: OpenItem, key: int) -> tuple[Record, Verdict]:
    sent = _payload.validate_python(item.payload)
    if record is not None and (why := kept_by(record.update_date, sent)):
        return record, Verdict("skipped", 200, f"Skipped: {why}", record_key=key)
    caller = item.caller[:20]
    if sent.content == "set" and item.blob_id is None:
        raise RuntimeError("content is to be set, and none is stored")
    after = Record(
        case_attachment_key=key,
        case_key=sent.case_key,
        attachment_file=sent.attachment_file,
        attachment_path=sent.attachment_path,
        case_attachment_type=sent.case_attachment_type,
        comment=sent.comment,
        entry_user=_given(sent.entry_user, record.entry_user if record else caller),
        entry_date=_given(sent.entry_date, record.entry_date if record else item.accepted_at),
        update_user=_given(sent.update_user, None if record else caller),
        update_date=_given(sent.update_date, item.accepted_at),
        blob_id=record.blob_id if record and sent.content == "keep" else item.blob_id,
        acceptance=item.acceptance,
        position=item.position,
    )
    return after, (UPDATED if record else CREATED).on(key)


def _given(value: T | None, otherwise: T) -> T:
    return otherwise if value is None else value


# OFFSET 0: open items are looked up key by key, whatever the statistics say (as in worker.ledger.bites).
_GENERATE = text("""
    WITH candidate AS MATERIALIZED (SELECT nextval('case_attachment_key') AS key FROM generate_series(1, :count))
    SELECT key FROM candidate
    WHERE NOT EXISTS (SELECT FROM case_attachment AS r WHERE r.case_attachment_key = candidate.key)
      AND NOT EXISTS (SELECT FROM item WHERE item.key = candidate.key AND item.outcome IS NULL OFFSET 0)
""")
# To the end of the run of records that the generator stands in, found in the index.
_JUMP = text("""
    SELECT setval('case_attachment_key', coalesce((
        SELECT r.case_attachment_key FROM case_attachment AS r, (SELECT last_value FROM case_attachment_key) AS s
        WHERE EXISTS (SELECT FROM case_attachment AS h WHERE h.case_attachment_key = s.last_value)
          AND r.case_attachment_key >= s.last_value AND r.case_attachment_key < 2147483647
          AND NOT EXISTS (SELECT FROM case_attachment AS n WHERE n.case_attachment_key = r.case_attachment_key + 1)
        ORDER BY r.case_attachment_key LIMIT 1), (SELECT last_value FROM case_attachment_key)))
""")


def generate_keys(session: Session, count: int) -> list[int]:
    """Return ``count`` keys that no record and no open item holds now.

    Whoever takes one of them by name before our insert wins; ours then is tried again.
    """
    keys: list[int] = []
    look = count
    while len(keys) < count:
        found = list(session.scalars(_GENERATE, {"count": look}))
        if not found:
            session.execute(_JUMP)
            look = min(2 * look, 10_000)
        keys.extend(found)
    return keys[:count]


def fold(session: Session, items: Sequence[OpenItem]) -> list[Verdict]:
    """Carry out ``items`` in their order, reading and writing the table once; return their verdicts in that order.

    Raises:
        OvertakenError: a key was created by somebody else between read and write.

    """
    fresh = iter(generate_keys(session, sum(item.key is None for item in items)))
    keys = [next(fresh) if item.key is None else item.key for item in items]
    before = load(session, {item.key for item in items if item.key is not None}, lock=True)
    after: dict[int, Record | None] = dict(before)
    changed = _last_changes(session, before, items)
    verdicts = []
    for key, item in zip(keys, items, strict=True):
        if superseded(item, changed.get(key, _NEVER)):
            verdicts.append(SUPERSEDED.on(key))
            continue
        after[key], verdict = step(after.get(key), item, key)
        if verdict.outcome in ("created", "updated", "deleted"):
            changed[key] = (item.acceptance, item.position)
        verdicts.append(verdict)
    _write(session, before, after)
    return verdicts


_NEVER = (0, 0)


def _last_changes(
    session: Session, before: Mapping[int, Record], items: Sequence[OpenItem]
) -> dict[int, tuple[int, int]]:
    """Return the place of the last change of each key, as far as the retries among ``items`` must know it."""
    places = {key: (r.acceptance, r.position) for key, r in before.items()}
    gone = {key: since for key, since in repeated(items).items() if key not in before}
    return places | {deletion.key: deletion.place for deletion in deletions_since(session, gone)}


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
        number = copy(session, _COPY, _TYPES, made)
    except DBAPIError as fault:
        # Only of the key: what else is unique, by an index or trigger of the database's own, would be refused for ever.
        if isinstance(fault.orig, UniqueViolation) and fault.orig.diag.constraint_name == "case_attachment_pkey":
            raise OvertakenError("a key was created by another transaction meanwhile") from fault
        raise
    if number != len(made):
        raise RuntimeError(f"{len(made)} records to insert, {number} of them taken by the database")
