"""The kinds: what an item can ask for, and the facts of each. ``worker.kinds.registry`` has their handlers."""

from dataclasses import dataclass
from typing import Literal

UPSERT = "case_attachment.upsert"
CREATE = "case_attachment.create"
DELETE = "case_attachment.delete"
DELETE_CONTENT = "case_attachment.delete_content"

FILE_PUT = "file.put"
FILE_DELETE = "file.delete"
FILE_DELETE_ALL = "file.delete_all"


@dataclass(frozen=True, slots=True)
class Kind:
    """The facts of one kind.

    ``id_field`` and ``content_field`` are the members of the API that carry a record's id and its content.
    ``ordered_by`` says whose items run in the order of their acceptance: the key of an item is the id of its record, or
    a hash of its collection.
    """

    name: str
    record_type: Literal["case_attachment", "file"]
    id_field: str
    content_field: str
    ordered_by: Literal["record", "collection"]


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(UPSERT, "case_attachment", "caseAttachment_Key", "attachment", "record"),
        Kind(CREATE, "case_attachment", "caseAttachment_Key", "attachment", "record"),
        Kind(DELETE, "case_attachment", "caseAttachment_Key", "attachment", "record"),
        Kind(DELETE_CONTENT, "case_attachment", "caseAttachment_Key", "attachment", "record"),
        Kind(FILE_PUT, "file", "id", "contentsbase64", "collection"),
        Kind(FILE_DELETE, "file", "id", "contentsbase64", "collection"),
        Kind(FILE_DELETE_ALL, "file", "id", "contentsbase64", "collection"),
    )
}
