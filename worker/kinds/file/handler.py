"""Apply items to files as a set: one read and one write of the table for all locked items."""

from collections.abc import Iterator, Sequence

from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.orm import Session

from worker.kinds.file.rows import COLUMNS, FIELDS, Collection, File, load_files
from worker.kinds.file.step import Files, find_targets, is_about, step
from worker.ledger.open_items import OpenItem, is_superseded
from worker.ledger.tombstones import Deletion, find_deletions, oldest_retried
from worker.verdicts import SUPERSEDED, Verdict

_NEW_IDS = text("SELECT nextval('file_attachment_id') FROM generate_series(1, :count)")


def apply_items(session: Session, items: Sequence[OpenItem]) -> list[Verdict]:
    """Apply ``items`` in their order, and return their verdicts in that order.

    No other transaction changes these collections meanwhile: their open items are locked, and appends are serialized
    (`worker.ledger.ordering`), so all earlier items are visible.
    """
    keys = sorted({item.key for item in items if item.key is not None})
    before = {file.id: file for file in load_files(session, keys)}
    collections: dict[tuple[str, str], dict[int, File]] = {}
    for file in before.values():
        collections.setdefault(file.pair.folded, {})[file.id] = file
    deleted = find_deletions(session, oldest_retried(items))
    fresh = _new_ids(session, len(items))
    verdicts = []
    for item in items:
        files = collections.setdefault(Collection(item.payload["table"], item.payload["item"]).folded, {})
        verdicts.append(_carried_out(files, item, fresh, deleted))
    _write(session, before, {file.id: file for files in collections.values() for file in files.values()})
    return verdicts


def _new_ids(session: Session, count: int) -> Iterator[int]:
    """Yield new ids, taken from the sequence at once with the first."""
    yield from list(session.scalars(_NEW_IDS, {"count": count}))


def _carried_out(files: dict[int, File], item: OpenItem, fresh: Iterator[int], deleted: list[Deletion]) -> Verdict:
    """Carry out one item in memory: ``files`` and ``deleted`` are what they are after it."""
    if _superseded(files, item, deleted):
        return SUPERSEDED
    changes, verdict = step(files, item, fresh)
    for number, file in changes.items():
        if file is None:
            del files[number]
        else:
            files[number] = file
    if verdict.outcome == "deleted" and item.key is not None:
        deleted.append(Deletion(item.key, (item.acceptance, item.position), item.payload))
    return verdict


def _superseded(files: Files, item: OpenItem, deleted: Sequence[Deletion]) -> bool:
    """Return whether a later item changed what this retry is about, or deleted what may have been that."""
    if there := find_targets(files, item):
        return any(is_superseded(item, (file.acceptance, file.position)) for file in there)
    return any(d.key == item.key and is_superseded(item, d.order) and is_about(d.payload, item) for d in deleted)


_RECORDSET = """
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS n (id bigint, key bigint, table_name text, item_name text,
        title text, file_name text, blob_id bigint, access_type text, show_as_image boolean, modified_at timestamptz,
        acceptance bigint, position int)
"""
_INSERT = text(f"INSERT INTO file_attachment ({COLUMNS}) SELECT {COLUMNS} {_RECORDSET}")
_SETS = ", ".join(f"{c} = n.{c}" for c in FIELDS[4:])
_UPDATE = text(f"UPDATE file_attachment AS f SET {_SETS} {_RECORDSET} WHERE f.id = n.id")  # noqa: S608  constants
_DELETE = text("DELETE FROM file_attachment WHERE id = ANY(:ids)")


def _write(session: Session, before: Files, after: Files) -> None:
    """Write what is different after: each file at most once, however often it was changed."""
    if gone := [number for number in before if number not in after]:
        session.execute(_DELETE, {"ids": gone})
    if changed := [file for file in after.values() if file.id in before and file != before[file.id]]:
        session.execute(_UPDATE, {"rows": to_json(changed).decode()})
    if made := [file for file in after.values() if file.id not in before]:
        session.execute(_INSERT, {"rows": to_json(made).decode()})
