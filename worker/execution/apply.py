"""Carry out open items: effects by sets, verdicts one by one.

The fast path is one savepoint for a whole bite. If the database refuses it, the
bite is halved, by key so that the chain of one key stays whole, until the bad
item stands alone; its neighbours are not harmed.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from worker.database import is_transient
from worker.errors import LimpetError
from worker.kinds.registry import HANDLERS, Handler
from worker.ledger.completion import settle
from worker.ledger.model import ItemId
from worker.ledger.open_items import OpenItem
from worker.log import log_bug
from worker.verdicts import CANCELLED, UNEXPECTED, Verdict

Verdicts = list[tuple[ItemId, Verdict]]


def apply(session: Session, items: Sequence[OpenItem], *, guarded: bool = True) -> Verdicts:
    """Carry out ``items`` (oldest first) within the caller's transaction, settle them, and return how each ended.

    Each part is settled as soon as it is carried out, since what a part did tells the next what was overtaken.

    Not ``guarded``: whatever fails is raised, and the transaction can only be rolled back.
    """
    verdicts = settle_verdicts(session, [(item.item_id, CANCELLED) for item in items if item.cancelled])
    wanted = [item for item in items if not item.cancelled]
    for handler, group in groupby(wanted, key=lambda item: HANDLERS[item.kind]):
        carry_out = _attempt if guarded else _carry_out
        verdicts.extend(carry_out(session, handler, list(group)))
    return verdicts


def _carry_out(session: Session, handler: Handler, items: list[OpenItem]) -> Verdicts:
    ends = handler(session, items)
    return settle_verdicts(session, [(item.item_id, end) for item, end in zip(items, ends, strict=True)])


def settle_verdicts(session: Session, verdicts: Verdicts) -> Verdicts:
    """Settle items, if there are any, and return how each ended."""
    if verdicts:
        settle(session, verdicts)
    return verdicts


def _attempt(session: Session, handler: Handler, items: list[OpenItem]) -> Verdicts:
    try:
        with session.begin_nested():
            return _carry_out(session, handler, items)
    except LimpetError:
        raise
    except DBAPIError as fault:
        if is_transient(fault):
            raise
        return _halved(session, handler, items, fault)
    except Exception as fault:  # noqa: BLE001  the one broad catch: a bug hits its item, not the neighbours
        return _halved(session, handler, items, fault)


def _halved(session: Session, handler: Handler, items: list[OpenItem], fault: Exception) -> Verdicts:
    if len(items) == 1:
        return settle_verdicts(session, [(items[0].item_id, _refused(items[0], fault))])
    return [verdict for half in _halves(items) for verdict in _attempt(session, handler, half)]


def _halves(items: list[OpenItem]) -> Iterator[list[OpenItem]]:
    """Yield two halves in order: by key if there are several, else the older and the younger items."""
    keys = list(dict.fromkeys(_chain(item) for item in items))
    if len(keys) == 1:
        yield items[: len(items) // 2]
        yield items[len(items) // 2 :]
        return
    first = set(keys[: len(keys) // 2])
    yield [item for item in items if _chain(item) in first]
    yield [item for item in items if _chain(item) not in first]


def _chain(item: OpenItem) -> object:
    return item.item_id if item.key is None else item.key


def _refused(item: OpenItem, fault: Exception) -> Verdict:
    log_bug("item.failed", fault, batch=item.batch_id, position=item.position, kind=item.kind)
    if isinstance(fault, DBAPIError) and fault.orig is not None:
        diagnosis = getattr(getattr(fault.orig, "diag", None), "message_primary", None) or type(fault.orig).__name__
        return Verdict("failed", 500, f"The database refused it: {diagnosis}", "as-is", record_key=item.key)
    return UNEXPECTED if item.key is None else UNEXPECTED.on(item.key)
