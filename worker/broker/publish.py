"""The Celery app and the doorbell: messages carry ids, the ledger carries the work.

A lost message only delays (the relay rings again) and a doubled one does
nothing, so no result backend, retries, ETA, chords or groups are used.
"""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from uuid import UUID

from celery import Celery
from kombu import Queue
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from worker.broker.kombu_fixes import apply_fixes
from worker.errors import BrokerUnavailableError
from worker.ledger.model import BULK_QUEUE, DEFAULT_QUEUE, ChunkMessage
from worker.settings import settings

DELIVER_TASK = "limpet.deliver"
LOAD_TASK = "limpet.load"
QUEUES = (DEFAULT_QUEUE, BULK_QUEUE)

apply_fixes()
app = Celery("limpet", broker=settings().broker_url.get_secret_value())
app.conf.update(
    task_queues=[Queue(name) for name in QUEUES],
    task_ignore_result=True,
    task_acks_late=True,
    # A worker's death is counted in the ledger; handing the message back at once would loop without counting.
    task_reject_on_worker_lost=False,
    worker_prefetch_multiplier=1,
    task_serializer="json",
    accept_content=["json"],
    task_default_queue=QUEUES[0],
    # No soft limit: its exception would look like the item's own. A killed child counts, and the item runs alone next.
    task_time_limit=settings().task_seconds,
    worker_max_tasks_per_child=5000,
    worker_max_memory_per_child=600_000,
    worker_send_task_events=True,
    # What is in hand when a worker is told to stop may end in this time, then it is handed back. REMAP_SIGTERM=SIGQUIT
    # in its environment lets SIGTERM mean that; Celery waits all of it once something is in hand.
    worker_soft_shutdown_timeout=5,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_pool_acquire_timeout=2,
    task_publish_retry_policy={"max_retries": 1, "interval_start": 0, "interval_step": 0.1, "interval_max": 0.1},
    broker_transport_options={
        # Without both timeouts a hung broker blocks a publisher for ever; more than brpop's one second.
        "socket_timeout": 5,
        "socket_connect_timeout": 1,
        "socket_keepalive": True,
        "health_check_interval": 10,
        "visibility_timeout": 3600,
        "queue_order_strategy": "round_robin",
        "priority_steps": [0],
        "max_retries": 1,
        "interval_start": 0,
        "interval_step": 0.1,
        "interval_max": 0.1,
    },
)


@contextmanager
def _reaching_the_broker() -> Iterator[None]:
    try:
        yield
    except (KombuError, RedisError, OSError) as fault:  # with retry off, kombu lets redis-py's own through
        raise BrokerUnavailableError(f"{type(fault).__name__}: {fault}") from fault


def check_broker() -> None:
    """Raise BrokerUnavailableError unless the broker answers."""
    with _reaching_the_broker(), app.connection_for_write() as connection:
        connection.connect()


def publish_chunks(database: str, chunks: Sequence[ChunkMessage], *, together: bool = False) -> None:
    """Send one message for each chunk, in one round trip; or, ``together``, one for all.

    Raises:
        BrokerUnavailableError: some may have been sent; the relay rings later for what was not.

    """
    if not chunks:
        return
    # What a person sees in Flower says more than what the task needs.
    if together and len(chunks) > 1:
        ids = [c.chunk_id for c in chunks]
        messages = [(ids, f"{len(ids)} small batches, chunks {min(ids)} to {max(ids)}", chunks[0].queue)]
    else:
        messages = [([c.chunk_id], f"batch {c.batch_id}, items {c.first} to {c.last}", c.queue) for c in chunks]
    _send(database, messages)


def publish_one_by_one(database: str, chunk_ids: Sequence[int]) -> None:
    """Send one message for each of the chunks that could not be carried out together.

    Raises:
        BrokerUnavailableError: some may have been sent; the relay rings later for what was not.

    """
    _send(database, [([chunk_id], f"chunk {chunk_id} by itself", DEFAULT_QUEUE) for chunk_id in chunk_ids])


def _send(database: str, messages: Sequence[tuple[Sequence[int], str, str]]) -> None:
    with (
        _reaching_the_broker(),
        app.producer_or_acquire() as producer,
        # What gathers them costs a fourth of what sending one does, so one goes by itself.
        producer.batch() if len(messages) > 1 else nullcontext(),
    ):
        for chunk_ids, said, queue in messages:
            # One layer below apply_async, which is several times as fast, and says everything only once.
            message = app.amqp.as_task_v2(
                f"chunk-{chunk_ids[0]}-{secrets.token_hex(2)}",
                DELIVER_TASK,
                (database, *chunk_ids),
                argsrepr=f"{database}: {said}",
                kwargsrepr="",
                origin="limpet",
            )
            app.amqp.send_task_message(producer, DELIVER_TASK, message, queue=queue, retry=False)


def publish_loaders(database: str, batches: Sequence[UUID]) -> None:
    """Send one message for each import whose next step is due.

    Raises:
        BrokerUnavailableError: the relay rings later.

    """
    with _reaching_the_broker():
        for batch_id in batches:
            app.send_task(LOAD_TASK, (database, str(batch_id)), queue=BULK_QUEUE, retry=False)
