"""The Celery app: its configuration, queues and task names.

Messages carry ids and the ledger carries the work: a lost message only delays, since the relay publishes again, and a
second copy does nothing. So no result backend, retries, ETA, chords or groups are used.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from celery import Celery
from kombu import Queue
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from worker.broker.kombu_fixes import apply_fixes
from worker.errors import BrokerUnavailableError
from worker.ledger.model import BULK_QUEUE, DEFAULT_QUEUE
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
    # The ledger counts a worker's death; handing the message back at once would loop without counting.
    task_reject_on_worker_lost=False,
    worker_prefetch_multiplier=1,
    task_serializer="json",
    accept_content=["json"],
    task_default_queue=QUEUES[0],
    # No soft limit: its exception would look like the item's own. A killed process counts as a death, and the item runs
    # alone next.
    task_time_limit=settings().task_seconds,
    worker_max_tasks_per_child=5000,
    worker_max_memory_per_child=600_000,
    worker_send_task_events=True,
    # A worker that is told to stop has this time to end its tasks; then it hands them back. REMAP_SIGTERM=SIGQUIT in
    # its environment lets SIGTERM mean that. Celery waits the whole time if a task is running.
    worker_soft_shutdown_timeout=5,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_pool_acquire_timeout=2,
    task_publish_retry_policy={"max_retries": 1, "interval_start": 0, "interval_step": 0.1, "interval_max": 0.1},
    broker_transport_options={
        # Without both timeouts a hung broker blocks a publisher for ever. The first must exceed brpop's one second.
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
def translate_broker_errors() -> Iterator[None]:
    """Raise BrokerUnavailableError in place of what kombu, redis-py and the sockets below them raise."""
    try:
        yield
    except (KombuError, RedisError, OSError) as fault:  # with retry off, kombu lets redis-py's own through
        raise BrokerUnavailableError(f"{type(fault).__name__}: {fault}") from fault


def check_broker() -> None:
    """Raise BrokerUnavailableError unless the broker answers."""
    with translate_broker_errors(), app.connection_for_write() as connection:
        connection.connect()
