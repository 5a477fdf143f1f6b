"""Whether what several clients saw can be: is there an order of their items on one record that explains every end?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Done(NamedTuple):
    """One item on the record, as it was sent (``comment`` is None for a delete) and as it ended."""

    comment: str | None
    outcome: str
    status: int


@dataclass(frozen=True)
class Call:
    """The items of one request in their order there, and when it was sent and answered, in seconds."""

    sent_at: float
    answered_at: float
    items: Sequence[Done]


def explains(calls: Sequence[Call], end: str | None) -> bool:
    """Return whether an order of all items makes each end as it did and leaves a record with the comment ``end``.

    The items of a call keep their order, and a call that was answered before another was sent is before it; others may
    come either way, item by item. ``end`` is None if no record is left. Orders near that of ``calls`` are tried first.
    """
    dead: set[tuple[tuple[int, ...], str | None]] = set()

    def leads_there(done: tuple[int, ...], comment: str | None) -> bool:
        if (done, comment) in dead:
            return False
        waiting = [n for n, call in enumerate(calls) if done[n] < len(call.items)]
        first_answer = min((calls[n].answered_at for n in waiting), default=0)
        for n in waiting:
            item = calls[n].items[done[n]]
            then = (*done[:n], done[n] + 1, *done[n + 1 :])
            if calls[n].sent_at <= first_answer and _fits(item, comment) and leads_there(then, _after(item, comment)):
                return True
        if not waiting and comment == end:
            return True
        dead.add((done, comment))
        return False

    return leads_there((0,) * len(calls), None)


def _fits(item: Done, before: str | None) -> bool:
    if item.comment is None:
        return (item.outcome, item.status) == (("failed", 404) if before is None else ("deleted", 204))
    return (item.outcome, item.status) == (("created", 201) if before is None else ("updated", 200))


def _after(item: Done, before: str | None) -> str | None:
    return before if item.outcome == "failed" else item.comment
