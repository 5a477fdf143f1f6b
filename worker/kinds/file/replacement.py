"""Replace all files of an item: deleteAll and the list beside it are refused whole if any entry of it is invalid.

After the removal the collection is empty, so what becomes of the list is known before anything is done.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from uuid import UUID

from schemas.file_attachments import FileActionPayload
from schemas.kinds import FILE_DELETE_ALL
from worker.kinds.file.rows import File
from worker.kinds.file.step import step
from worker.kinds.validation import InvalidEntryError, invalid_verdict
from worker.ledger.model import NewItem
from worker.ledger.open_items import OpenItem
from worker.verdicts import Verdict

MAX_ENTRIES = 1000
NOT_CARRIED_OUT = "Not carried out:"
_GONE = "must not stand beside deleteAll, which removes all files first"


def check_replacement(items: Sequence[NewItem]) -> list[NewItem]:
    """Return the items of one request, all of them invalid if deleteAll stands beside an entry that is.

    An entry is invalid if its form is, if it is UPDATE-ONLY or names an id, or if it fails after the removal.
    """
    if not items or items[0].kind != FILE_DELETE_ALL or items[0].verdict:
        return list(items)
    verdicts = list(_invalid_verdicts(items[1:]))
    bad = next((position for position, verdict in enumerate(verdicts) if verdict is not None), None)
    if bad is None:
        return list(items)
    reason = f"{NOT_CARRIED_OUT} deleteAll beside the invalid entry {bad}"
    other = invalid_verdict(InvalidEntryError("", reason))
    return [_refuse(item, verdict or other) for item, verdict in zip(items, [None, *verdicts], strict=True)]


def _refuse(item: NewItem, verdict: Verdict) -> NewItem:
    return replace(item, key=None, content=None, stored=None, upload_id=None, verdict=verdict)


def _invalid_verdicts(entries: Sequence[NewItem]) -> Iterator[Verdict | None]:
    """Yield why each entry is invalid, None if it is not, as they would run on an empty collection."""
    files: dict[int, File] = {}
    fresh_ids = count(1)
    for position, item in enumerate(entries):
        verdict = item.verdict or _finds_nothing(item)
        if verdict is None:
            changes, end = step(files, _open_item(item, position), fresh_ids)
            if end.outcome == "failed":  # with the ids of the simulation, which mean nothing to the sender
                verdict = invalid_verdict(InvalidEntryError("", "More than one entry of this request matches"))
            elif end.outcome == "invalid":
                verdict = end
            for number, file in changes.items():
                files.pop(number, None)
                files |= {} if file is None else {number: file}
        yield verdict


def _finds_nothing(item: NewItem) -> Verdict | None:
    sent = FileActionPayload.model_validate(item.payload)
    if sent.mode == "UPDATE-ONLY":
        return invalid_verdict(InvalidEntryError("action", f"UPDATE-ONLY {_GONE}"))
    if sent.id is not None and sent.mode != "NEW-ONLY":
        return invalid_verdict(InvalidEntryError("id", _GONE))
    return None


def _open_item(item: NewItem, position: int) -> OpenItem:
    has_content = item.content is not None or item.stored is not None or item.upload_id is not None
    blob_id = 1 if has_content else None
    now = datetime.now(UTC)
    return OpenItem(
        UUID(int=0), position, 0, now, item.kind, item.key, item.payload, blob_id, None, 0, "", cancelled=False
    )
