"""Publish chunks and import steps: one message carries the ids of what is due."""

import secrets
from collections.abc import Sequence
from contextlib import nullcontext
from uuid import UUID

from worker.broker.celery_app import DELIVER_TASK, LOAD_TASK, app, translate_broker_errors
from worker.ledger.model import BULK_QUEUE, DEFAULT_QUEUE, ChunkMessage


def publish_chunks(database: str, chunks: Sequence[ChunkMessage], *, together: bool = False) -> None:
    """Send one message for each chunk, in one round trip; or, ``together``, one for all.

    Raises:
        BrokerUnavailableError: some may have been sent; the relay publishes the others later.

    """
    if not chunks:
        return
    # Flower shows more than the ids that the task needs.
    if together and len(chunks) > 1:
        ids = [chunk.chunk_id for chunk in chunks]
        messages = [(ids, f"{len(ids)} small batches, chunks {min(ids)} to {max(ids)}", chunks[0].queue)]
    else:
        messages = [([c.chunk_id], f"batch {c.batch_id}, items {c.first} to {c.last}", c.queue) for c in chunks]
    _send(database, messages)


def publish_one_by_one(database: str, chunk_ids: Sequence[int]) -> None:
    """Send one message for each of the chunks that could not be carried out together.

    Raises:
        BrokerUnavailableError: some may have been sent; the relay publishes the others later.

    """
    _send(database, [([chunk_id], f"chunk {chunk_id} by itself", DEFAULT_QUEUE) for chunk_id in chunk_ids])


def _send(database: str, messages: Sequence[tuple[Sequence[int], str, str]]) -> None:
    with (
        translate_broker_errors(),
        app.producer_or_acquire() as producer,
        # A batch costs a fourth of sending one message, so a single message goes without.
        producer.batch() if len(messages) > 1 else nullcontext(),
    ):
        for chunk_ids, summary, queue in messages:
            # One layer below apply_async: several times as fast, and no argument is spelled twice.
            message = app.amqp.as_task_v2(
                f"chunk-{chunk_ids[0]}-{secrets.token_hex(2)}",
                DELIVER_TASK,
                (database, *chunk_ids),
                argsrepr=f"{database}: {summary}",
                kwargsrepr="",
                origin="limpet",
            )
            app.amqp.send_task_message(producer, DELIVER_TASK, message, queue=queue, retry=False)


def publish_loaders(database: str, batches: Sequence[UUID]) -> None:
    """Send one message for each import whose next step is due.

    Raises:
        BrokerUnavailableError: the relay publishes them later.

    """
    with translate_broker_errors():
        for batch_id in batches:
            app.send_task(LOAD_TASK, (database, str(batch_id)), queue=BULK_QUEUE, retry=False)
