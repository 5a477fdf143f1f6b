"""Who sends a request, and which database it names."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated

from fastapi import Depends, Request

from api_stub.auth.credentials import (
    Caller,
    CredentialsFile,
    InvalidCredentialError,
    check_api_key,
    check_token,
    read_credentials,
)
from api_stub.auth.passwords import Passwords
from api_stub.problems import NO_DATABASE, NO_SUCH_DATABASE, UNAUTHENTICATED, ProblemError, sentence
from api_stub.request.file_urls import link_database
from worker.settings import settings

_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="limpet", ApiKey realm="limpet"'}
_BASIC = 'Basic realm="limpet", charset="UTF-8"'
_passwords = Passwords()


@dataclass(frozen=True, slots=True)
class Identity:
    """The caller's name, as ledger and records note it, and the database that the request is for."""

    name: str
    database: str


async def identify(request: Request) -> Identity:
    """Check the credentials of a case-attachments request, and its database header.

    Raises:
        ProblemError: 401, 400 or 403.

    """
    return _choose_database(
        request, _authenticate(request.headers.get("x-api-key"), request.headers.get("authorization"))
    )


async def identify_either(request: Request) -> Identity:
    """Check the credentials of either API; those of the file-attachments API have a default database.

    Raises:
        ProblemError: 401, 400, 403 or 429.

    """
    return _choose_database(request, await _authenticate_either(request))


AnyIdentity = Annotated[Identity, Depends(identify_either)]


async def identify_files(request: Request) -> Identity:
    """Check the credentials of a file-attachments request; the links to files name the database themselves.

    Raises:
        ProblemError: as `identify_either`; its challenge makes a browser ask for a password.

    """
    try:
        caller = await _authenticate_either(request)
    except ProblemError as error:
        if error.type is UNAUTHENTICATED:
            raise ProblemError(error.type, error.detail, {"WWW-Authenticate": _BASIC}) from error
        raise
    return _choose_database(request, caller, link_database(request))


def _choose_database(request: Request, caller: Caller, database: str | None = None) -> Identity:
    database = request.headers.get("vbasoftware-database", "").strip() or database or caller.default
    if not database:
        raise ProblemError(NO_DATABASE, "Send the header vbasoftware-database with the name of the target database")
    # One answer for a database that does not exist and one of other callers, so that no caller can tell them apart.
    if database not in caller.databases or database not in settings().databases:
        raise ProblemError(NO_SUCH_DATABASE, "vbasoftware-database names no database that these credentials may use")
    return Identity(caller.name, database)


async def _authenticate_either(request: Request) -> Caller:
    """Return the caller: by Basic or ALFSSOAuthNToken if sent, else by API key and bearer token."""
    token, authorization = request.headers.get("alfssoauthntoken"), request.headers.get("authorization", "")
    scheme, _, encoded = authorization.partition(" ")
    try:
        if token and not token.isspace():
            return check_token(settings().jwt_secret.get_secret_value(), token.strip())
        if scheme.lower() == "basic":
            return await _passwords.check(_load_credentials(), _file_version(), encoded)
    except InvalidCredentialError as error:
        challenge = {"WWW-Authenticate": f"{_BASIC}, {_CHALLENGE['WWW-Authenticate']}"}
        raise ProblemError(UNAUTHENTICATED, sentence(error), challenge) from error
    return _authenticate(request.headers.get("x-api-key"), request.headers.get("authorization"))


def _authenticate(api_key: str | None, authorization: str | None) -> Caller:
    """Return the caller of token and key: the token's subject, else the key's name; both must allow a database."""
    required = settings().require
    try:
        by_key = check_api_key(_load_credentials(), api_key) if api_key is not None else None
        by_token = (
            check_token(settings().jwt_secret.get_secret_value(), _bearer(authorization))
            if authorization is not None
            else None
        )
    except InvalidCredentialError as error:
        raise ProblemError(UNAUTHENTICATED, sentence(error), _CHALLENGE) from error
    if by_key is None and required in ("both", "api-key"):
        raise ProblemError(UNAUTHENTICATED, "Send the header x-api-key", _CHALLENGE)
    if by_token is None and required in ("both", "bearer"):
        raise ProblemError(UNAUTHENTICATED, "Send the header Authorization: Bearer <JWT>", _CHALLENGE)
    if by_token and by_key:
        return Caller(by_token.name, by_token.databases & by_key.databases)
    caller = by_token or by_key
    if caller is None:
        raise ProblemError(UNAUTHENTICATED, "Send x-api-key or Authorization: Bearer <JWT>", _CHALLENGE)
    return Caller(caller.name, caller.databases)  # no default: a case-attachments request must name its database


def _bearer(authorization: str) -> str:
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise InvalidCredentialError("the Authorization header is not 'Bearer <JWT>'")
    return token.strip()


def _load_credentials() -> CredentialsFile:
    """Return the credentials file, read again when it changed, so that a new or removed key counts at once."""
    return _read_version(_file_version())


def _file_version() -> int:
    """Return which version of the credentials file is there."""
    try:
        return settings().credentials.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


@lru_cache(maxsize=1)
def _read_version(version: int) -> CredentialsFile:  # noqa: ARG001  the stamp is the key of the cache
    return read_credentials(settings().credentials)
