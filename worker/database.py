"""Engines and sessions, one engine for each configured database and process."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache

from sqlalchemy import CursorResult, Engine, Executable, create_engine
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
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
_CONNECT = {
    "connect_timeout": 3,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
    "options": _SERVER_OPTIONS,
    "application_name": "limpet",
}
# Server states that pass by themselves: connection, resources, operator's intervention,
# rollback (deadlock, serialization), lock not available, I/O.
_PASSING = ("08", "53", "57", "40", "55", "58", "25P04", "25P03", "25006")

# What libpq says when this process itself may not have more memory: as it looks, another attempt would not either.
_OUR_MEMORY = ("cannot allocate memory", "out of memory")


@cache
def engine(database: str) -> Engine:
    """Return the engine of ``database``.

    Raises:
        UnknownDatabaseError: it is not configured.

    """
    url = settings().databases.get(database)
    if url is None:
        raise UnknownDatabaseError(f"no database {database!r} in LIMPET_DATABASES")
    # A first request after a restart of the server must not fail, hence the ping.
    return create_engine(
        url.get_secret_value(),
        pool_pre_ping=True,
        # The values are the callers' and belong into no log.
        hide_parameters=True,
        pool_size=10,
        max_overflow=10,
        pool_timeout=10,
        connect_args=_CONNECT,
    )


@contextmanager
def transaction(database: str) -> Iterator[Session]:
    """Yield a session whose work is committed at the end, or rolled back if the block raises."""
    with Session(engine(database), expire_on_commit=False) as session, session.begin():
        yield session


def count(session: Session, statement: Executable, values: Mapping[str, object]) -> int:
    """Execute ``statement`` and return how many rows it changed."""
    done = session.execute(statement, values)
    assert isinstance(done, CursorResult)
    return done.rowcount


def passing(fault: DBAPIError) -> bool:
    """Return whether ``fault`` is the server's trouble of the moment, not the statement's."""
    state = getattr(fault.orig, "sqlstate", None)
    if state is None and any(words in str(fault.orig) for words in _OUR_MEMORY):
        return False
    if fault.connection_invalidated or isinstance(fault, InterfaceError):
        return True
    if state is None:
        return isinstance(fault, OperationalError)
    return bool(state.startswith(_PASSING))
