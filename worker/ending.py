"""The end of a batch: finished in the ledger, and told to whoever waits for it."""

from collections import Counter
from collections.abc import Sequence
from uuid import UUID

from worker.database import transaction
from worker.hints import hint
from worker.ledger import arrows
from worker.log import event


def finish(database: str, batch_id: UUID) -> None:
    """Finish the batch if nothing of it is open."""
    with transaction(database) as session:
        ended = arrows.finish(session, [batch_id])
    tell_of(database, ended)


def tell_of(database: str, ended: Sequence[UUID], **facts: object) -> None:
    """Say that batches have ended, once that is committed."""
    if ended:
        hint(database, ended)
    for batch_id in ended:
        event("batch.finished", database=database, batch=batch_id, **facts)


def in_words(closed: Sequence[dict[str, int]]) -> str:
    """Return how many items of the chunks ended how."""
    outcomes = sum(map(Counter, closed), Counter[str]())
    return ", ".join(f"{n} {outcome}" for outcome, n in outcomes.items())
