"""The handler of each kind.

A handler takes open items of one record type, oldest first, and returns their verdicts in that order. It reads and
writes through the session it is given and never commits.
"""

from collections.abc import Callable, Sequence

from sqlalchemy.orm import Session

from schemas.kinds import KINDS
from worker.kinds.case_attachment import handler as case_attachment
from worker.kinds.file import handler as file
from worker.ledger.open_items import OpenItem
from worker.verdicts import Verdict

Handler = Callable[[Session, Sequence[OpenItem]], list[Verdict]]

_HANDLERS: dict[str, Handler] = {"case_attachment": case_attachment.apply_items, "file": file.apply_items}
HANDLERS = {name: _HANDLERS[kind.record_type] for name, kind in KINDS.items()}
