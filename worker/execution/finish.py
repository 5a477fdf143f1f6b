"""The end of a batch: finished in the ledger, and told to whoever waits for it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from uuid import UUID

from worker.broker.notifications import UNTOLD, Ends, hint
from worker.database import transaction
from worker.ledger import completion
from worker.ledger.completion import Closed
from worker.log import event


def finish(database: str, batch_id: UUID) -> None:
    """Finish the batch if nothing of it is open."""
    with transaction(database) as session:
        ended = completion.finish(session, batch_id)
    if ended:
        tell_of(database, {batch_id: UNTOLD})


def tell_of(database: str, ended: Mapping[UUID, Ends], **facts: object) -> None:
    """Say that batches have ended, and how as far as it is at hand; once that is committed."""
    if ended:
        hint(database, ended)
    for batch_id in ended:
        event("batch.finished", database=database, batch=batch_id, **facts)


def in_words(closed: Sequence[Closed]) -> str:
    """Return how many items of the chunks ended how."""
    outcomes = sum((Counter(chunk.counts) for chunk in closed), Counter[str]())
    return ", ".join(f"{n} {outcome}" for outcome, n in outcomes.items())
