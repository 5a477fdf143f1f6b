"""The kinds: what an item can ask for, and the handler that carries it out.

A handler takes the open items of its family, oldest first, and returns their
verdicts in that order; it reads and writes through the session it is given and
never commits.
"""

from collections.abc import Callable, Sequence

from sqlalchemy.orm import Session

from schemas import kinds
from worker import case_attachments, file_attachments
from worker.ledger.bites import OpenItem
from worker.verdicts import Verdict

Handler = Callable[[Session, Sequence[OpenItem]], list[Verdict]]

KINDS: dict[str, Handler] = {
    kinds.UPSERT: case_attachments.fold,
    kinds.CREATE: case_attachments.fold,
    kinds.DELETE: case_attachments.fold,
    kinds.FILE_PUT: file_attachments.fold,
    kinds.FILE_DELETE: file_attachments.fold,
    kinds.FILE_DELETE_ALL: file_attachments.fold,
}
