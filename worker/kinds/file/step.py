"""What one file action does to the files of one item: a pure function. What an action finds decides what it does:

    action        finds the file       one match   no match             more than one
    NEW-ONLY      by name              skipped     added                error
    UPDATE-ONLY   by id, else by name  updated     by id: error         error
                                                   by name: skipped
    NEW-UPDATE    by id, else by name  updated     by id: error         error
                                                   by name: added
    DELETE        by id, else by name  deleted     by id: error         error
                                                   by name: skipped
    deleteAll     takes every file     deleted     skipped              deleted

*By name*: title and file name must both match if both are given, else the one
that is; compared in NFC. *Added*: file name and contents are required, a title
that is not given is the file name, the access is ATTACHACCESS-DEFAULT, and no
image. *Updated*: what is given changes, all else stays, contents too.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar
from unicodedata import normalize

from pydantic import TypeAdapter

from schemas.file_attachments import FileActionPayload
from schemas.kinds import FILE_DELETE, FILE_DELETE_ALL
from worker.kinds.file.rows import Collection, File
from worker.ledger.open_items import OpenItem
from worker.verdicts import CREATED, DELETED, UPDATED, Verdict

T = TypeVar("T")
Files = Mapping[int, File]
Changes = dict[int, File | None]  # by id; None: it is gone
_payload = TypeAdapter(FileActionPayload)


def step(files: Files, item: OpenItem, fresh: Iterator[int]) -> tuple[Changes, Verdict]:
    """Return what ``item`` changes in the collection ``files``, and the verdict; ``fresh`` has ids for new files."""
    if item.kind == FILE_DELETE_ALL:
        return _delete_all(files)
    sent = _payload.validate_python(item.payload)
    if sent.contents and item.blob_id is None:
        raise RuntimeError("contents are to be set, and none are stored")
    by_id = sent.id if sent.mode != "NEW-ONLY" else None
    found = _matches(files, sent)
    if len(found) > 1:
        return {}, _ambiguous(found)
    if not found and by_id is not None:
        return {}, Verdict("failed", 404, "Could not read specified record by ID", "after-fix", by_id)
    if item.kind == FILE_DELETE:
        return _delete(found)
    if found:
        return _present(found[0], item, sent)
    return _absent(item, sent, fresh)


def find_targets(files: Files, item: OpenItem) -> list[File]:
    """Return the files of ``files`` that ``item`` would change or leave out because they are there."""
    if item.kind == FILE_DELETE_ALL:
        return list(files.values())
    return _matches(files, _payload.validate_python(item.payload))


def is_about(deletion: Mapping[str, Any], item: OpenItem) -> bool:
    """Return whether what ``deletion`` (a payload) removed may have been what ``item`` is about."""
    one, other = _payload.validate_python(deletion), _payload.validate_python(item.payload)
    if one.id is not None or other.id is not None:
        return None in (one.id, other.id) or one.id == other.id
    pairs = ((one.title, other.title), (one.file_name, other.file_name))
    return all(None in pair or _nfc(pair[0]) == _nfc(pair[1]) for pair in pairs)


def _matches(files: Files, sent: FileActionPayload) -> list[File]:
    """Return the files that an action may mean: by id if it names one and is no NEW-ONLY, else by name."""
    if sent.id is not None and sent.mode != "NEW-ONLY":
        return [files[sent.id]] if sent.id in files else []
    title, name = _nfc(sent.title), _nfc(sent.file_name)
    return [
        file
        for file in files.values()
        if (title is None or title == _nfc(file.title)) and (name is None or name == _nfc(file.file_name))
    ]


def _nfc(name: str | None) -> str | None:
    return None if name is None else normalize("NFC", name)


def _delete_all(files: Files) -> tuple[Changes, Verdict]:
    if not files:
        return {}, Verdict("skipped", 200, "Skipped: no files")
    return dict.fromkeys(files), DELETED._replace(body=f"Deleted {len(files)} file{'s' if len(files) > 1 else ''}")


def _delete(found: Sequence[File]) -> tuple[Changes, Verdict]:
    if not found:
        return {}, Verdict("skipped", 200, "Skipped: no such file")
    return {found[0].id: None}, DELETED.on(found[0].id)


def _present(file: File, item: OpenItem, sent: FileActionPayload) -> tuple[Changes, Verdict]:
    if sent.mode == "NEW-ONLY":
        return {}, Verdict("skipped", 200, "Skipped: the file is there already", record_key=file.id)
    after = replace(
        file,
        title=_given(sent.title, file.title),
        file_name=_given(sent.file_name, file.file_name),
        blob_id=_given(item.blob_id, file.blob_id),
        access_type=_given(sent.access_type, file.access_type),
        show_as_image=_given(sent.show_as_image, file.show_as_image),
        modified_at=item.accepted_at,
        acceptance=item.acceptance,
        position=item.position,
    )
    return {file.id: after}, _updated(file, item, sent).on(file.id)


def _updated(file: File, item: OpenItem, sent: FileActionPayload) -> Verdict:
    """Return the verdict of an update, which says so if an earlier action of the same request brought the file."""
    named_twice = sent.id is None and file.acceptance == item.acceptance
    # A row of an import and a retry have positions that their sender does not know.
    if not named_twice or "line" in item.payload or "retry_of" in item.payload:
        return UPDATED
    position = file.position - item.payload.get("offset", 0)
    return UPDATED._replace(body=f"Updated (replaced position {position} of this request)")


def _absent(item: OpenItem, sent: FileActionPayload, fresh: Iterator[int]) -> tuple[Changes, Verdict]:
    if sent.mode == "UPDATE-ONLY":
        return {}, Verdict("skipped", 200, "Skipped: no such file")
    if sent.file_name is None:
        return {}, _lacking("filename")
    if item.blob_id is None:
        return {}, _lacking("contentsbase64")
    made = File(
        id=next(fresh),
        key=Collection(sent.table, sent.item).key,
        table_name=sent.table,
        item_name=sent.item,
        title=_given(sent.title, sent.file_name),
        file_name=sent.file_name,
        blob_id=item.blob_id,
        access_type=_given(sent.access_type, "ATTACHACCESS-DEFAULT"),
        show_as_image=_given(sent.show_as_image, otherwise=False),
        modified_at=item.accepted_at,
        acceptance=item.acceptance,
        position=item.position,
    )
    return {made.id: made}, CREATED.on(made.id)


def _given(value: T | None, otherwise: T) -> T:
    return otherwise if value is None else value


def _ambiguous(found: Sequence[File]) -> Verdict:
    some = ", ".join(str(file.id) for file in found[:5]) + (", ..." if len(found) > 5 else "")  # noqa: PLR2004  as shown
    return Verdict("failed", 409, f"{len(found)} files match; name one by its id ({some})", "after-fix")


def _lacking(field: str) -> Verdict:
    message = "is required to add a file"
    return Verdict("invalid", 422, f"{field} {message}", "after-fix", errors=({"field": field, "message": message},))
