"""The Celery tasks, run by ``celery -A worker.tasks worker``; they are thin, since the ledger holds all state."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from uuid import UUID

from celery import Task
from celery.bootsteps import StartStopStep
from celery.signals import worker_process_init
from celery.worker import state
from celery.worker.consumer import Consumer
from sqlalchemy.exc import DBAPIError

from worker import maintenance
from worker.broker.celery_app import DELIVER_TASK, LOAD_TASK, app
from worker.broker.publish import publish_chunks
from worker.errors import BrokerUnavailableError, LimpetError
from worker.execution.deliver import deliver
from worker.execution.watchdog import Watchdog
from worker.imports.loader import load
from worker.ledger.model import BULK_QUEUE
from worker.log import log_event, log_transient, strip_values
from worker.settings import settings

_EVENT_DELAY_SECONDS = 0.25  # how long a task event waits for others
_WATCHDOG_PERIODS = 3  # times LIMPET_RING_AFTER, which makes 15 s by default
MAINTENANCE_PERIODS = {"limpet.collect": timedelta(minutes=5), "limpet.expire": timedelta(hours=1)}
app.conf.beat_schedule = {
    f"{task} {name}": {
        "task": task,
        "schedule": every,
        "args": (name,),
        # If no worker has taken it when the next one comes, it is not needed.
        "options": {"expires": every.total_seconds(), "queue": BULK_QUEUE},
    }
    for task, every in MAINTENANCE_PERIODS.items()
    for name in settings().databases
}


@worker_process_init.connect
def limit_memory(**_: object) -> None:
    """Limit memory, so that a runaway task fails and the kernel kills no other process for it."""
    if limit := settings().worker_memory:
        # RLIMIT_DATA limits what is allocated, not what is mapped: a process with threads maps much address space.
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        resource.setrlimit(resource.RLIMIT_DATA, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


class WatchdogStep(StartStopStep):
    """Checks every few seconds, while the worker is connected, whether it still takes work."""

    requires = ("celery.worker.consumer:Tasks",)

    def start(self, consumer: Consumer) -> None:
        """Start the checks, again after each new connection, since that clears the timers."""
        # The current queues: `cancel_consumer` may have removed some.
        watchdog = Watchdog(list(app.amqp.queues.consume_from))

        def check() -> None:
            if watchdog.is_stalled(sum(state.total_count.values()), busy=bool(state.active_requests)):
                log_event("watchdog.stalled", worker=consumer.hostname, queues=",".join(watchdog.queues))
                os._exit(os.EX_UNAVAILABLE)  # it runs no task

        consumer.timer.call_repeatedly(_WATCHDOG_PERIODS * settings().ring_after.total_seconds(), check)


class EventsStep(StartStopStep):
    """Sends the events of tasks, which Flower shows, several at a time.

    Celery sends each event at once. Its message to the broker takes longer than all else that the worker's parent
    process does for a task, and the next task waits for it.
    """

    requires = ("celery.worker.consumer.events:Events",)

    def start(self, consumer: Consumer) -> None:
        """Delay the events of this connection so that they go together."""
        dispatcher = consumer.event_dispatcher  # type: ignore[attr-defined]  # not in the stubs
        scheduled = False

        def send() -> None:
            nonlocal scheduled
            scheduled = False
            dispatcher.flush()

        def schedule_send() -> None:
            nonlocal scheduled
            if not scheduled:
                scheduled = True
                consumer.timer.call_after(_EVENT_DELAY_SECONDS, send)

        dispatcher.on_send_buffered = schedule_send


app.steps["consumer"].update((WatchdogStep, EventsStep))


@contextmanager
def _strip_fault_values() -> Iterator[None]:
    """Remove callers' values from what a task raises, since Celery logs it."""
    try:
        yield
    except Exception as fault:
        strip_values(fault)
        raise


@app.task(name=DELIVER_TASK, bind=True)
@_strip_fault_values()
def deliver_chunk(self: Task[..., str], /, database: str, *chunk_ids: int) -> str:
    """Carry out one chunk, or several small batches."""
    return deliver(database, chunk_ids, f"{self.request.hostname} pid {os.getpid()}")


@app.task(name=LOAD_TASK)
@_strip_fault_values()
def load_import(database: str, batch_id: str) -> str:
    """Append rows of an import that the servers read, for some seconds."""
    try:
        for step in load(database, UUID(batch_id)):
            with suppress(BrokerUnavailableError):  # the relay publishes the chunk later
                publish_chunks(database, step.messages)
    except (LimpetError, DBAPIError) as fault:
        log_transient("import.load_later", fault, database=database, batch=batch_id)
        return "later"
    return "done"


@app.task(name="limpet.collect")
@_strip_fault_values()
def collect(database: str) -> int:
    """Remove unreferenced content and expired uploads; return how many objects were removed."""
    return maintenance.collect(database)


@app.task(name="limpet.expire")
@_strip_fault_values()
def expire(database: str) -> int:
    """Delete batches that ended long ago; return how many."""
    return maintenance.expire(database)
