"""Who sends a request, and which database it names."""

from dataclasses import dataclass
from functools import lru_cache

from fastapi import Request

from api_stub.problems import NO_DATABASE, NO_SUCH_DATABASE, UNAUTHENTICATED, ProblemError
from worker.credentials import (
    BadCredentialError,
    Caller,
    CredentialsFile,
    check_api_key,
    check_token,
    read_credentials,
)
from worker.settings import settings

_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="limpet", ApiKey realm="limpet"'}


@dataclass(frozen=True, slots=True)
class Identity:
    """The caller's name, as ledger and records note it, and the database that the request is for."""

    name: str
    database: str


async def identify(request: Request) -> Identity:
    """Check the credentials of family A and the database header.

    Raises:
        ProblemError: 401, 400 or 403.

    """
    caller = _caller(request.headers.get("x-api-key"), request.headers.get("authorization"))
    database = request.headers.get("vbasoftware-database", "").strip()
    if not database:
        raise ProblemError(NO_DATABASE, "Send the header vbasoftware-database with the name of the target database")
    # One that does not exist and one that is not the caller's are told apart by nobody.
    if database not in caller.databases or database not in settings().databases:
        raise ProblemError(NO_SUCH_DATABASE, "vbasoftware-database names no database that these credentials may use")
    return Identity(caller.name, database)


def _caller(api_key: str | None, authorization: str | None) -> Caller:
    """Return who the credentials name: the token's subject, else the API key's name; both must allow a database."""
    required = settings().require
    try:
        by_key = check_api_key(_credentials(), api_key) if api_key is not None else None
        by_token = (
            check_token(settings().jwt_secret.get_secret_value(), _bearer(authorization))
            if authorization is not None
            else None
        )
    except BadCredentialError as wrong:
        raise ProblemError(UNAUTHENTICATED, f"{wrong}".capitalize(), _CHALLENGE) from wrong
    if by_key is None and required in ("both", "api-key"):
        raise ProblemError(UNAUTHENTICATED, "Send the header x-api-key", _CHALLENGE)
    if by_token is None and required in ("both", "bearer"):
        raise ProblemError(UNAUTHENTICATED, "Send the header Authorization: Bearer <JWT>", _CHALLENGE)
    if by_token and by_key:
        return Caller(by_token.name, by_token.databases & by_key.databases)
    caller = by_token or by_key
    if caller is None:
        raise ProblemError(UNAUTHENTICATED, "Send x-api-key or Authorization: Bearer <JWT>", _CHALLENGE)
    return caller


def _bearer(authorization: str) -> str:
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise BadCredentialError("the Authorization header is not 'Bearer <JWT>'")
    return token.strip()


def _credentials() -> CredentialsFile:
    """Return the credentials file, read again when it changed, so that a new or removed key counts at once."""
    try:
        stamp = settings().credentials.stat().st_mtime_ns
    except FileNotFoundError:
        stamp = 0
    return _read(stamp)


@lru_cache(maxsize=1)
def _read(stamp: int) -> CredentialsFile:  # noqa: ARG001  the stamp is the key of the cache
    return read_credentials(settings().credentials)
