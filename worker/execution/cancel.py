"""Cancel a batch: note the wish, settle what has not started, and finish the batch if nothing is open then."""

from uuid import UUID

from worker.database import transaction
from worker.execution.finish import finish_batch
from worker.ledger.cancel import request_cancel, settle_cancelled


def cancel_batch(database: str, batch_id: UUID) -> bool:
    """Cancel a batch: items that have not started will not. False: it was cancelled before, or had ended."""
    with transaction(database) as session:
        noted = request_cancel(session, batch_id)
    settled = True
    while settled:
        with transaction(database) as session:
            settled = bool(settle_cancelled(session, batch_id))
    finish_batch(database, batch_id)
    return noted
