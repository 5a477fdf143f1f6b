"""The kinds: what an item can ask for, and the handler that carries it out.

A handler takes the open items of its family, oldest first, and returns their
verdicts in that order; it reads and writes through the session it is given and
never commits.
"""

from collections.abc import Callable, Sequence

from sqlalchemy.orm import Session

from schemas import kinds
from worker.kinds.case_attachment import handler as case_attachment
from worker.kinds.file import handler as file
from worker.ledger.open_items import OpenItem
from worker.verdicts import Verdict

Handler = Callable[[Session, Sequence[OpenItem]], list[Verdict]]

HANDLERS: dict[str, Handler] = {
    kinds.UPSERT: case_attachment.apply_items,
    kinds.CREATE: case_attachment.apply_items,
    kinds.DELETE: case_attachment.apply_items,
    kinds.FILE_PUT: file.apply_items,
    kinds.FILE_DELETE: file.apply_items,
    kinds.FILE_DELETE_ALL: file.apply_items,
}
