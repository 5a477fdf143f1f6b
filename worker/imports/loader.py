"""Load an import from a manifest in the store, step by step; a killed worker loses no row.

Each step appends some rows and their chunks and moves the cursor (byte offset,
line), in one transaction. Between two steps the loader is always due, so the relay
publishes it again if a worker dies. Rows are appended by offset, so two workers that
load at the same time still append each row once.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from schemas.imports import CLEARABLE, OpenImport
from schemas.manifest.local_files import check_columns
from schemas.manifest.parts import PartLimits, RowPart, parts
from schemas.manifest.reader import ManifestError, Row, read_header, rows, uncompressed
from worker.database import is_transient, transaction
from worker.errors import LimpetError
from worker.execution.finish import finish_batch
from worker.imports import append, service, transitions
from worker.imports.append import NotAppendableError
from worker.imports.contents import adopt_contents
from worker.imports.loader_files import read_import_rows
from worker.imports.rows import ImportOptions, parse_row
from worker.imports.sources import InvalidSourceError, Manifest, find_manifest, tree_of
from worker.ledger.model import ChunkMessage, NewItem
from worker.log import log_bug, log_event, summarize_fault
from worker.settings import settings

_LIMITS = PartLimits(rows=2000, row_bytes=4 * 2**20)
_LIMITS_WITH_FILES = PartLimits(rows=100)
_LEASE = timedelta(seconds=20)
_MAX_FAILURES = 5
_FIRST_PAUSE = timedelta(seconds=1)
_MAX_TASK_SECONDS = 20.0
_RECHECK_PAUSE = timedelta(seconds=1)
_NO_PAUSE = timedelta(0)
_CHANGED = "the manifest changed while it was imported; import it again"


@dataclass(frozen=True, slots=True)
class Cursor:
    """The manifest and the position where the next step begins."""

    manifest: str
    etag: str
    wanted: OpenImport
    next_row: int
    byte_offset: int
    line: int


@dataclass(frozen=True, slots=True)
class Step:
    """One step: the chunks to publish, and whether the task may take the next step."""

    messages: Sequence[ChunkMessage]
    more: bool


# While a manifest that came in a request body is read, each step postpones its removal.
_KEEP_BODY = text("""
    UPDATE garbage SET due_at = now() + :kept FROM loader
    WHERE loader.batch_id = :batch_id AND garbage.object_key = loader.manifest
""")
_CURSOR = text("""
    SELECT l.manifest, l.etag, l.options, b.total, l.byte_offset, l.line
    FROM loader AS l JOIN import AS i ON i.batch_id = l.batch_id JOIN batch AS b ON b.id = l.batch_id
    WHERE l.batch_id = :batch_id AND l.due_at IS NOT NULL AND i.closed_at IS NULL AND i.paused_at IS NULL
""")


def load(database: str, batch_id: UUID) -> Iterator[Step]:
    """Append rows for some seconds, step by step; close the import at the end of the manifest.

    Transient errors are raised, and the next task retries. A bug that repeats closes the import.
    """
    with transaction(database) as session:
        row = session.execute(_CURSOR, {"batch_id": batch_id}).one_or_none()
    if row is None:
        return
    try:
        cursor = Cursor(row.manifest, row.etag, OpenImport.model_validate(row.options), *row[3:])
        yield from _run_steps(database, batch_id, cursor)
    except (ManifestError, InvalidSourceError) as error:
        log_event("import.refused", database=database, batch=batch_id, reason=str(error))
        _close(database, batch_id, str(error))
    except NotAppendableError:
        return  # another worker appended these rows, or the import was cancelled
    except LimpetError:
        raise
    except Exception as fault:
        if isinstance(fault, DBAPIError) and is_transient(fault):
            raise
        _note_failure(database, batch_id, fault)


def _note_failure(database: str, batch_id: UUID, fault: Exception) -> None:
    """Postpone the next attempt, each time longer; after the last one, close the import with the rows it has."""
    log_bug("import.failed", fault, database=database, batch=batch_id)
    with transaction(database) as session:
        failures = transitions.count_failure(session, batch_id, _FIRST_PAUSE)
    if failures >= _MAX_FAILURES:
        reason = (
            f"Its rows could not be read on, {failures} times: {summarize_fault(fault)}. Those before are carried out"
        )
        _close(database, batch_id, reason)


def _run_steps(database: str, batch_id: UUID, cursor: Cursor) -> Iterator[Step]:
    manifest = find_manifest(cursor.manifest)
    if manifest.etag != cursor.etag:
        raise InvalidSourceError(_CHANGED)
    tree = tree_of(database, cursor.wanted)
    options = ImportOptions(database, cursor.wanted.kind, cursor.wanted.on_conflict)
    end = time.monotonic() + _MAX_TASK_SECONDS
    limits = _LIMITS if tree is None else _LIMITS_WITH_FILES
    for part in parts(_read_rows(manifest, cursor), cursor.next_row, limits):
        rows_read = read_import_rows(options, tree, part.rows, partial(_renew_lease, database, batch_id))
        items = [parse_row(row, options) for row in rows_read]
        if find_manifest(cursor.manifest).etag != cursor.etag:
            raise InvalidSourceError(_CHANGED)
        # Large files may leave time for some rows only; the next task begins after them.
        taken = RowPart(part.first, part.rows[: len(items)])
        out_of_time = time.monotonic() > end or len(items) < len(part.rows)
        step = _append_part(database, batch_id, taken, items, out_of_time=out_of_time)
        yield step
        if out_of_time or not step.more:
            return
    _close(database, batch_id)
    log_event("import.loaded", database=database, batch=batch_id)


def _read_rows(manifest: Manifest, cursor: Cursor) -> Iterator[Row]:
    stream = uncompressed(manifest.open())
    header = read_header(stream, cursor.wanted.columns, CLEARABLE if cursor.wanted.empty == "clear" else ())
    check_columns(header, cursor.wanted.kind)
    at_start = cursor.byte_offset == 0
    return rows(stream, header, *(() if at_start else (cursor.byte_offset, cursor.line)))


def _renew_lease(database: str, batch_id: UUID) -> None:
    """Renew the loader's lease while it reads files, so no other worker starts to read them."""
    with transaction(database) as session:
        transitions.renew_step(session, batch_id, _LEASE)


def _append_part(database: str, batch_id: UUID, part: RowPart, items: list[NewItem], *, out_of_time: bool) -> Step:
    """Append one part and move the cursor behind it.

    Raises:
        NotAppendableError: the import has these rows already, or takes no rows.

    """
    last = part.rows[-1]
    line = last.line + max(1, last.raw.count(b"\n")) - 1
    with service.note_places_if_missing(database, items), transaction(database) as session:
        to = append.lock_import(session, batch_id, part.first)
        if to.next_row != part.first:
            raise NotAppendableError("these rows are there already")
        messages = append.append_rows(session, to, adopt_contents(session, items))
        ahead = append.count_chunks_ahead(session, batch_id, settings().import_chunks_ahead + 1)
        must_wait = ahead > settings().import_chunks_ahead or to.paused_at is not None
        lease = _RECHECK_PAUSE if must_wait else _NO_PAUSE if out_of_time else _LEASE
        transitions.advance_loader(session, batch_id, last.end, line, lease)
        session.execute(_KEEP_BODY, {"batch_id": batch_id, "kept": service.BODY_RETENTION})
    return Step(messages, more=not must_wait)


def _close(database: str, batch_id: UUID, error: str | None = None) -> None:
    with transaction(database) as session:
        transitions.close_import(session, batch_id, error)
    finish_batch(database, batch_id)
