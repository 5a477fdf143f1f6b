"""Engines and sessions: one engine for each configured database and process."""

import select
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import psycopg
import sqlalchemy.event
from psycopg.types.json import set_json_loads
from pydantic_core import from_json
from sqlalchemy import CursorResult, Engine, Executable, create_engine, make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, InvalidatePoolError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from worker.errors import UnknownDatabaseError
from worker.settings import settings

# A frozen process must not hold locks for long, and a silent network must be detected.
# Plain numbers are milliseconds or seconds, as PostgreSQL and libpq read them.
_SERVER_OPTIONS = " ".join(
    f"-c {name}={value}"
    for name, value in {
        "TimeZone": "UTC",
        "lock_timeout": "5s",
        "idle_in_transaction_session_timeout": "30s",
        "transaction_timeout": "9min",
        # Else a worker that was killed in a long statement holds its locks until the statement ends.
        "client_connection_check_interval": "2s",
        "jit": "off",
        # A generic plan, made once for all sizes, reads a large item table whole: locking took 440 ms instead of 4.
        "plan_cache_mode": "force_custom_plan",
    }.items()
)
_CONNECT_OPTIONS: dict[str, Any] = {
    "connect_timeout": 3,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
    "options": _SERVER_OPTIONS,
    "application_name": "limpet",
}
POOL_SIZE = 20  # maximum connections of a process to one database
NO_ANSWER_ERRORS = (DBAPIError, PoolTimeoutError)
"""Errors that mean the database did not answer."""
# Prefixes of transient SQLSTATEs: connection, resources, operator intervention, rollback (deadlock, serialization),
# lock not available, I/O.
_TRANSIENT_STATES = ("08", "53", "57", "40", "55", "58", "25P04", "25P03", "25006")

# libpq's messages when this process has reached its memory limit: another attempt would fail as well.
_OUT_OF_MEMORY_MESSAGES = ("cannot allocate memory", "out of memory")


set_json_loads(from_json)  # each item has a payload, and the standard library takes several times as long


@cache
def engine(database: str) -> Engine:
    """Return the engine of ``database``.

    Raises:
        UnknownDatabaseError: it is not configured.

    """
    url = settings().databases.get(database)
    if url is None:
        raise UnknownDatabaseError(f"no database {database!r} in LIMPET_DATABASES")
    new_engine = create_engine(
        url.get_secret_value(),
        # Parameters are callers' values and must not be logged.
        hide_parameters=True,
        pool_size=POOL_SIZE // 2,
        max_overflow=POOL_SIZE - POOL_SIZE // 2,
        pool_timeout=10,
        connect_args=_CONNECT_OPTIONS,
    )
    sqlalchemy.event.listen(new_engine, "checkout", _check_connection)
    return new_engine


def connect(url: str) -> psycopg.Connection:
    """Return a psycopg connection to an SQLAlchemy URL, in autocommit mode; the caller closes it."""
    parsed = make_url(url)
    _, keywords = parsed.get_dialect()().create_connect_args(parsed)
    return psycopg.connect(**{**keywords, **_CONNECT_OPTIONS}, autocommit=True)


def _check_connection(connection: psycopg.Connection, _record: object, _proxy: object) -> None:
    """Make the pool reconnect if the server has closed the connection: no request fails for an earlier restart.

    An idle connection is readable only if the server has closed it. So polling the socket detects what a round trip
    (``pool_pre_ping``) would.
    """
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    if poll.poll(0):
        raise InvalidatePoolError("the server has closed the connection")


@contextmanager
def transaction(database: str) -> Iterator[Session]:
    """Yield a session in one transaction, committed at the end, or rolled back if the block raises."""
    with Session(engine(database), expire_on_commit=False) as session, session.begin():
        yield session


@contextmanager
def autocommit(database: str) -> Iterator[Session]:
    """Yield a session whose statements commit one by one, without the round trips of a transaction.

    For reading it equals a transaction, since READ COMMITTED takes a new snapshot for each statement; for writing, use
    it with a single statement.
    """
    with Session(engine(database).execution_options(isolation_level="AUTOCOMMIT"), expire_on_commit=False) as session:
        yield session


def count_changed(session: Session, statement: Executable, values: Mapping[str, object]) -> int:
    """Execute ``statement`` and return how many rows it changed."""
    result = session.execute(statement, values)
    assert isinstance(result, CursorResult)
    return result.rowcount


def copy_rows(session: Session, statement: str, types: Sequence[str], rows: Iterable[Sequence[object]]) -> int:
    """Send ``rows`` by ``statement``, a binary COPY of columns of ``types``, and return how many were inserted.

    Raises:
        DBAPIError: the database refused the rows or did not answer.

    """
    connection = session.connection().connection.driver_connection
    assert isinstance(connection, psycopg.Connection)
    try:
        with connection.cursor() as cursor:
            with cursor.copy(statement) as copying:
                copying.set_types(types)
                for row in rows:
                    copying.write_row(row)
            return cursor.rowcount
    except psycopg.Error as fault:  # psycopg raises it past SQLAlchemy, so it is translated here
        raise DBAPIError(statement, None, fault) from fault


def is_transient(fault: DBAPIError) -> bool:
    """Return whether ``fault`` is transient: the state of the server, not the statement, caused it."""
    state = getattr(fault.orig, "sqlstate", None)
    if state is None and any(message in str(fault.orig) for message in _OUT_OF_MEMORY_MESSAGES):
        return False
    if fault.connection_invalidated or isinstance(fault, InterfaceError):
        return True
    if state is None:
        return isinstance(fault.orig, psycopg.OperationalError)
    return bool(state.startswith(_TRANSIENT_STATES))
