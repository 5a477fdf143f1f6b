"""Open imports, append parts, close, pause and resume them; each change is one transaction."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from schemas.imports import ImportKind, OpenImport
from worker.blobs.lifecycle import note_garbage
from worker.database import transaction
from worker.errors import LimpetError
from worker.execution.cancel import cancel_batch
from worker.execution.finish import finish_batch
from worker.imports import append, transitions
from worker.imports.append import ImportView, NotAppendableError
from worker.imports.contents import ContentMissingError, adopt_contents, verify_uploaded
from worker.imports.rows import ImportOptions, parse_row, read_rows
from worker.imports.sources import InvalidSourceError, Manifest, find_manifest, object_key, tree_of
from worker.ledger.model import ChunkMessage, NewItem

BATCH_KINDS: dict[ImportKind, str] = {"case-attachments": "import case_attachments", "files": "import file_attachments"}
BODY_RETENTION = timedelta(days=7)


class ChangedError(LimpetError):
    """The import of that name can't be resumed: its manifest or options changed, or it was cancelled."""


def open_import(database: str, caller: str, wanted: OpenImport) -> tuple[ImportView, bool]:
    """Open an import, or resume the one of that name and fingerprint; return it, and whether it is resumed.

    Raises:
        ChangedError: another import of that name is not finished.
        InvalidSourceError: the servers can't read the manifest or the files.

    """
    if wanted.kind == "files" and wanted.on_conflict == "newer":
        raise InvalidSourceError("onConflict newer goes by update_Date, which files have not")
    manifest = _manifest(database, wanted)
    if manifest is not None:
        facts = f"{manifest.key} {manifest.etag}"
        wanted = wanted.model_copy(update={"fingerprint": wanted.fingerprint or fingerprint(facts, wanted)})
    if wanted.restart:
        _cancel_latest(database, caller, wanted.name)
    with transaction(database) as session:
        latest = append.find_latest(session, caller, wanted.name)
        if latest is not None and not wanted.restart and _resumes(latest, wanted):
            return latest, True
        batch_id = append.open_import(session, BATCH_KINDS[wanted.kind], caller, wanted)
        if manifest is not None:
            session.execute(_LOAD, _loader(batch_id, manifest, wanted))
        view = append.read_import(session, batch_id)
    assert view is not None, "it was just opened"
    return view, False


_LOAD = text("""
    INSERT INTO loader (batch_id, manifest, etag, options, due_at)
    VALUES (:batch_id, :manifest, :etag, :options, now())
""").bindparams(bindparam("options", type_=JSONB))


def _loader(batch_id: UUID, manifest: Manifest, wanted: OpenImport) -> dict[str, object]:
    options = wanted.model_dump(mode="json", by_alias=True)
    return {"batch_id": batch_id, "manifest": manifest.key, "etag": manifest.etag, "options": options}


def _manifest(database: str, wanted: OpenImport) -> Manifest | None:
    """Check that the servers can read the manifest and the files; return the manifest, None if a client sends rows."""
    if wanted.manifest is None:
        return None
    tree_of(database, wanted)
    return find_manifest(object_key(database, wanted.manifest))


def fingerprint(manifest: str, wanted: OpenImport) -> str:
    """Return the hash of ``manifest`` and the options: an import is resumed only with the same one."""
    without = {"restart", "rows_per_second", "name", "manifest"} | ({"empty"} if wanted.empty == "keep" else set())
    options = wanted.model_dump_json(exclude=without)
    return hashlib.sha256(f"{manifest}\n{options}".encode()).hexdigest()


def keep_body(database: str) -> str:
    """Return the name of a new object for a manifest that comes in a body, noted for removal much later."""
    name = f"imports/bodies/{uuid4().hex}"
    with transaction(database) as session:
        note_garbage(session, [f"{database}/{name}"], BODY_RETENTION)
    return name


def _resumes(latest: ImportView, wanted: OpenImport) -> bool:
    """Return whether ``wanted`` resumes ``latest``; False: it opens a new import.

    Raises:
        ChangedError: ``latest`` was cancelled, or is not finished and not the same.

    """
    same = latest.fingerprint == wanted.fingerprint
    began = f"import {latest.batch_id} of {latest.accepted_at:%Y-%m-%d %H:%M}"
    if same and latest.error is not None:
        return False  # an error closed it before its last row, and the cause may be gone
    if same and latest.cancelled:
        raise ChangedError(f"{began} was cancelled; --restart imports the manifest anew")
    if not same and latest.finished_at is None:
        raise ChangedError(
            f"the manifest or an option is not what it was when {began} began, and that is not finished: "
            "go on with the manifest as it was, or --restart to cancel that one and begin anew"
        )
    return same


def _cancel_latest(database: str, caller: str, name: str) -> None:
    with transaction(database) as session:
        latest = append.find_latest(session, caller, name)
    if latest is not None and latest.finished_at is None:
        cancel_batch(database, latest.batch_id)


@dataclass(frozen=True, slots=True)
class AppendResult:
    """A committed part: the next row, the chunks to publish, and whether the import is paused."""

    next_row: int
    messages: list[ChunkMessage]
    paused: bool


@contextmanager
def note_places_if_missing(database: str, items: Sequence[NewItem]) -> Iterator[None]:
    """Note the places of ``items`` as garbage if contents are missing: an upload may have come too late."""
    try:
        yield
    except ContentMissingError:
        with transaction(database) as session:
            note_garbage(session, [item.stored.object_key for item in items if item.stored and item.stored.object_key])
        raise


def append_lines(database: str, batch_id: UUID, first: int, lines: Sequence[bytes]) -> AppendResult:
    """Append rows, a line of NDJSON each, from row ``first`` on; skip rows that the import has already.

    Raises:
        NotAppendableError: the import is closed, or rows before ``first`` are missing.
        ContentMissingError: a content is not in the store.

    """
    with transaction(database) as session:
        seen = append.read_import(session, batch_id)
    if seen is None:
        raise NotAppendableError(f"there is no import {batch_id}")
    options = ImportOptions(database, kind_of(seen), seen.on_conflict)
    items = [parse_row(row, options) for row in read_rows(lines[max(0, seen.next_row - first) :])]
    first = max(first, seen.next_row)
    with note_places_if_missing(database, items):
        verify_uploaded(items)
        with transaction(database) as session:
            to = append.lock_import(session, batch_id, first)
            fresh = adopt_contents(session, items[to.next_row - first :])
            messages = append.append_rows(session, to, fresh)
    return AppendResult(to.next_row + len(fresh), messages, to.paused_at is not None)


def kind_of(view: ImportView) -> ImportKind:
    """Return what the rows of an import are: case attachments or files."""
    return "files" if view.kind == BATCH_KINDS["files"] else "case-attachments"


def close(database: str, batch_id: UUID) -> None:
    """Take no more rows; the batch finishes once none of its items is open."""
    with transaction(database) as session:
        transitions.close_import(session, batch_id)
    finish_batch(database, batch_id)


def pause(database: str, batch_id: UUID) -> None:
    """Stop claims of chunks; chunks that run finish."""
    with transaction(database) as session:
        transitions.pause(session, batch_id)


def resume(database: str, batch_id: UUID) -> None:
    """Allow claims of chunks again."""
    with transaction(database) as session:
        transitions.resume(session, batch_id)
