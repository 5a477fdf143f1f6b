"""Carry out open items: effects by sets, verdicts one by one.

All items share one savepoint. If the database refuses them, they are halved, by key so that the items of one key stay
in order, until the failing item is alone; the others are not harmed.
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
    """Carry out ``items`` (oldest first) in the caller's transaction, settle them, and return the verdicts.

    Each group of one handler is settled at once, so that the next group sees which of its items are superseded.

    Not ``guarded``: any failure is raised, and the caller must roll back.
    """
    verdicts = settle_verdicts(session, [(item.item_id, CANCELLED) for item in items if item.cancelled])
    remaining = [item for item in items if not item.cancelled]
    for handler, group in groupby(remaining, key=lambda item: HANDLERS[item.kind]):
        carry_out = _carry_out_guarded if guarded else _carry_out
        verdicts.extend(carry_out(session, handler, list(group)))
    return verdicts


def _carry_out(session: Session, handler: Handler, items: list[OpenItem]) -> Verdicts:
    verdicts = handler(session, items)
    return settle_verdicts(session, [(item.item_id, verdict) for item, verdict in zip(items, verdicts, strict=True)])


def settle_verdicts(session: Session, verdicts: Verdicts) -> Verdicts:
    """Settle items, if there are any, and return ``verdicts``."""
    if verdicts:
        settle(session, verdicts)
    return verdicts


def _carry_out_guarded(session: Session, handler: Handler, items: list[OpenItem]) -> Verdicts:
    try:
        with session.begin_nested():
            return _carry_out(session, handler, items)
    except LimpetError:
        raise
    except DBAPIError as fault:
        if is_transient(fault):
            raise
        return _carry_out_halves(session, handler, items, fault)
    except Exception as fault:  # noqa: BLE001  the one broad catch: a bug hits its item, not the neighbours
        return _carry_out_halves(session, handler, items, fault)


def _carry_out_halves(session: Session, handler: Handler, items: list[OpenItem], fault: Exception) -> Verdicts:
    if len(items) == 1:
        return settle_verdicts(session, [(items[0].item_id, _log_failure(items[0], fault))])
    return [verdict for half in _split(items) for verdict in _carry_out_guarded(session, handler, half)]


def _split(items: list[OpenItem]) -> Iterator[list[OpenItem]]:
    """Yield two halves in order: by key if there are several, else the older and the younger items."""
    keys = list(dict.fromkeys(_key_of(item) for item in items))
    if len(keys) == 1:
        yield items[: len(items) // 2]
        yield items[len(items) // 2 :]
        return
    first = set(keys[: len(keys) // 2])
    yield [item for item in items if _key_of(item) in first]
    yield [item for item in items if _key_of(item) not in first]


def _key_of(item: OpenItem) -> object:
    """Return what orders the item: its key, or nothing but itself."""
    return item.item_id if item.key is None else item.key


def _log_failure(item: OpenItem, fault: Exception) -> Verdict:
    """Log why an item failed by itself, and return its verdict."""
    log_bug("item.failed", fault, batch=item.batch_id, position=item.position, kind=item.kind)
    if isinstance(fault, DBAPIError) and fault.orig is not None:
        diagnosis = getattr(getattr(fault.orig, "diag", None), "message_primary", None) or type(fault.orig).__name__
        return Verdict("failed", 500, f"The database refused it: {diagnosis}", "as-is", record_key=item.key)
    return UNEXPECTED if item.key is None else UNEXPECTED.on(item.key)
