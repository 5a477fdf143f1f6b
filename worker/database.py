"""Engines and sessions, one engine for each configured database and process."""

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

# A frozen process must not hold locks for long, and a silent network must be noticed:
# all in milliseconds or seconds, as PostgreSQL and libpq read them.
_SERVER_OPTIONS = " ".join(
    f"-c {name}={value}"
    for name, value in {
        "TimeZone": "UTC",
        "lock_timeout": "5s",
        "idle_in_transaction_session_timeout": "30s",
        "transaction_timeout": "9min",
        # A worker that was killed in a long statement would hold its locks until that ends, and nobody could go on.
        "client_connection_check_interval": "2s",
        "jit": "off",
        # A generic plan, made once for all sizes, reads a large item table whole: a bite took 440 ms instead of 4.
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
POOL_SIZE = 20  # connections of a process to one database at most
NO_ANSWER_ERRORS = (DBAPIError, PoolTimeoutError)
"""What a transaction raises that got no answer of the database, for whoever goes on without one."""
# Server states that pass by themselves: connection, resources, operator's intervention,
# rollback (deadlock, serialization), lock not available, I/O.
_TRANSIENT_STATES = ("08", "53", "57", "40", "55", "58", "25P04", "25P03", "25006")

# What libpq says when this process itself may not have more memory: as it looks, another attempt would not either.
_OUT_OF_MEMORY_MESSAGES = ("cannot allocate memory", "out of memory")


set_json_loads(from_json)  # a payload for each item: the standard library takes several times as long


@cache
def engine(database: str) -> Engine:
    """Return the engine of ``database``.

    Raises:
        UnknownDatabaseError: it is not configured.

    """
    url = settings().databases.get(database)
    if url is None:
        raise UnknownDatabaseError(f"no database {database!r} in LIMPET_DATABASES")
    created = create_engine(
        url.get_secret_value(),
        # The values are the callers' and belong into no log.
        hide_parameters=True,
        pool_size=POOL_SIZE // 2,
        max_overflow=POOL_SIZE - POOL_SIZE // 2,
        pool_timeout=10,
        connect_args=_CONNECT_OPTIONS,
    )
    sqlalchemy.event.listen(created, "checkout", _check_connection)
    return created


def connect(url: str) -> psycopg.Connection:
    """Return a connection of the driver alone to an SQLAlchemy URL, each statement its own transaction; close it."""
    parsed = make_url(url)
    _, keywords = parsed.get_dialect()().create_connect_args(parsed)
    return psycopg.connect(**{**keywords, **_CONNECT_OPTIONS}, autocommit=True)


def _check_connection(connection: psycopg.Connection, _record: object, _proxy: object) -> None:
    """Have the pool connect anew if the server closed the connection: no request may fail for a restart before it.

    A server says goodbye before it closes, and nothing else is said on an idle connection; so a look at the socket
    tells what a round trip (``pool_pre_ping``) would.
    """
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    if poll.poll(0):
        raise InvalidatePoolError("the server has closed the connection")


@contextmanager
def transaction(database: str) -> Iterator[Session]:
    """Yield a session whose work is committed at the end, or rolled back if the block raises."""
    with Session(engine(database), expire_on_commit=False) as session, session.begin():
        yield session


@contextmanager
def autocommit(database: str) -> Iterator[Session]:
    """Yield a session whose statements commit one by one, without the round trips of a transaction.

    For reading as good as one, since what READ COMMITTED sees is taken anew for each statement anyway; else for what is
    done by a single statement.
    """
    with Session(engine(database).execution_options(isolation_level="AUTOCOMMIT"), expire_on_commit=False) as session:
        yield session


def count_changed(session: Session, statement: Executable, values: Mapping[str, object]) -> int:
    """Execute ``statement`` and return how many rows it changed."""
    result = session.execute(statement, values)
    assert isinstance(result, CursorResult)
    return result.rowcount


def copy_rows(session: Session, statement: str, types: Sequence[str], rows: Iterable[Sequence[object]]) -> int:
    """Send ``rows`` by ``statement``, a binary COPY of columns of ``types``, and return how many are in the table.

    Raises:
        DBAPIError: as of any statement.

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
    except psycopg.Error as fault:  # past SQLAlchemy, so translated here
        raise DBAPIError(statement, None, fault) from fault


def is_transient(fault: DBAPIError) -> bool:
    """Return whether ``fault`` is the server's trouble of the moment, not the statement's."""
    state = getattr(fault.orig, "sqlstate", None)
    if state is None and any(message in str(fault.orig) for message in _OUT_OF_MEMORY_MESSAGES):
        return False
    if fault.connection_invalidated or isinstance(fault, InterfaceError):
        return True
    if state is None:
        return isinstance(fault.orig, psycopg.OperationalError)
    return bool(state.startswith(_TRANSIENT_STATES))
