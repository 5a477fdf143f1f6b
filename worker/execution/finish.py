"""Finish batches in the ledger and notify the processes that wait for them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from uuid import UUID

from worker.broker.notifications import NO_VERDICTS, ItemVerdicts, notify
from worker.database import transaction
from worker.ledger import completion
from worker.ledger.completion import ClosedChunk
from worker.log import log_event


def finish_batch(database: str, batch_id: UUID) -> None:
    """Finish the batch if nothing of it is open."""
    with transaction(database) as session:
        ended = completion.finish(session, batch_id)
    if ended:
        notify_ended(database, {batch_id: NO_VERDICTS})


def notify_ended(database: str, ended: Mapping[UUID, ItemVerdicts], **facts: object) -> None:
    """Notify and log that batches have ended, with the verdicts that are at hand; call it after the commit."""
    if ended:
        notify(database, ended)
    for batch_id in ended:
        log_event("batch.finished", database=database, batch=batch_id, **facts)


def summarize(closed: Sequence[ClosedChunk]) -> str:
    """Return how many items of the chunks have each outcome, as text."""
    outcomes = sum((Counter(chunk.counts) for chunk in closed), Counter[str]())
    return ", ".join(f"{n} {outcome}" for outcome, n in outcomes.items())
