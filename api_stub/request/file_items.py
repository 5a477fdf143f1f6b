"""From what was sent to items for the ledger: family B. A bad action gets its verdict here and harms no other."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from pydantic import ValidationError

from api_stub.request.entry_content import (
    InvalidEntryError,
    Lifted,
    content_of,
    field_error,
    in_short,
    invalid,
    not_an_object,
    spelled_out,
    upload_id,
)
from schemas.file_attachments import FileAction, FileActionPayload, FileUpdate, is_blank
from schemas.kinds import FILE_DELETE, FILE_DELETE_ALL, FILE_PUT
from worker.blobs.lifecycle import StoredContent
from worker.blobs.spool import Spooled
from worker.kinds.file.rows import Collection
from worker.ledger.model import NewItem

_KEPT = ("action", "id", "title", "filename", "accessType", "showAsImage")


def items(pair: Collection, sent: FileUpdate, lifted: Lifted) -> list[NewItem]:
    """Return an item for each action, before them one that deletes all if that is asked for."""
    whole = FileActionPayload(table=pair.table, item=pair.item, mode="DELETE").model_dump(exclude_none=True)
    first = [NewItem(FILE_DELETE_ALL, pair.key, whole)] if sent.delete_all else []
    return [*first, *(_item(pair, entry, lifted) for entry in sent.actions)]


def label(item: NewItem) -> str:
    """Return the name of the action as answers say it: the documented one, or what was sent instead."""
    said = item.payload.get("mode") or item.payload.get("action")
    return "NEW-UPDATE" if is_blank(said) else str(said)


def _item(pair: Collection, entry: object, lifted: Lifted) -> NewItem:
    if not isinstance(entry, dict):
        return _refused(pair, {}, 400, [{"field": "", "message": not_an_object(entry)}])
    fields = {
        name: value if name.lower() == _CONTENTS else spelled_out(value, lifted)
        for name, value in entry.items()
        if not (name.lower() == _CONTENTS and is_blank(value))
    }
    try:
        sent = FileAction.model_validate(fields, by_alias=True, by_name=False)
        _check_named(sent)
        content = None if sent.mode == "DELETE" else _content(sent.contents, lifted)
    except ValidationError as wrong:
        return _refused(pair, fields, 422, [field_error(dict(error)) for error in wrong.errors(include_url=False)])
    except InvalidEntryError as wrong:
        return _refused(pair, fields, wrong.status, [{"field": wrong.field, "message": wrong.message}])
    payload = FileActionPayload(
        table=pair.table,
        item=pair.item,
        contents=content is not None,
        **sent.model_dump(exclude={"contents"}),
    )
    return NewItem(
        kind=FILE_DELETE if sent.mode == "DELETE" else FILE_PUT,
        key=pair.key,
        payload=payload.model_dump(exclude_none=True),
        content=content if isinstance(content, bytes | Spooled) else None,
        stored=content if isinstance(content, StoredContent) else None,
        upload_id=content if isinstance(content, UUID) else None,
    )


def _check_named(sent: FileAction) -> None:
    if why := sent.unnamed():
        raise InvalidEntryError("filename", why)


_CONTENTS = "contentsbase64"


def _content(value: object, lifted: Lifted) -> bytes | Spooled | StoredContent | UUID | None:
    """Return the content of ``{"data": base64}`` or ``{"upload": id}``; None if there is none."""
    if value is None:
        return None
    if not isinstance(value, dict):
        raise InvalidEntryError(_CONTENTS, 'must be an object such as {"data": "<base64>"}')
    data, upload = value.get("data"), value.get("upload")
    if data is not None and upload is not None:
        raise InvalidEntryError(_CONTENTS, "must have data or upload, not both")
    if upload is not None:
        return upload_id(f"{_CONTENTS}.upload", upload)
    return None if data is None else content_of(f"{_CONTENTS}.data", data, lifted)


def _refused(pair: Collection, fields: Mapping[str, object], status: int, errors: Sequence[dict[str, str]]) -> NewItem:
    kept = {name: in_short(fields[name]) for name in _KEPT if name in fields}
    return NewItem(FILE_PUT, None, {"table": pair.table, "item": pair.item, **kept}, verdict=invalid(status, errors))
