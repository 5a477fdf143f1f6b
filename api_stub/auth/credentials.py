"""API keys, bearer tokens and users with passwords: made here, checked here.

An API key is 32 random bytes, so its SHA-256 is hash enough: there is nothing
to guess. A password can be guessed, so its hash is Argon2id (RFC 9106), slow on
purpose. The credentials file holds the hashes; keys themselves are shown once.
"""

import fcntl
import hashlib
import hmac
import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from pathlib import Path
from unicodedata import normalize

import jwt
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from pydantic import BaseModel, Field

from schemas.texts import UNKEEPABLE
from worker.private_files import write_private

_ALGORITHM = "HS256"
# OWASP's least: some 20 ms and 19 MiB for each check, so that many at once fit into a small process.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


@dataclass(frozen=True)
class Caller:
    """Who sends a request, and which databases they may name; ``default`` is the one of who names none."""

    name: str
    databases: frozenset[str]
    default: str = ""


class ApiKey(BaseModel):
    """One API key as the file keeps it."""

    name: str
    sha256: str
    databases: list[str]


class User(BaseModel):
    """One user as the file keeps it; the first of the databases is the default."""

    name: str
    argon2: str
    databases: list[str]


class CredentialsFile(BaseModel):
    """The credentials file as a whole."""

    api_keys: list[ApiKey] = Field(default_factory=list)
    users: list[User] = Field(default_factory=list)


class InvalidCredentialError(Exception):
    """The credential is unknown, malformed, expired or forged."""


def read_credentials(path: Path) -> CredentialsFile:
    """Return what ``path`` holds; a file that does not exist holds nothing."""
    try:
        return CredentialsFile.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return CredentialsFile()


def add_api_key(path: Path, name: str, databases: list[str]) -> str:
    """Make a key for ``name``, replacing its last one, and return it in clear: the only time it is seen."""
    clear = secrets.token_urlsafe(32)
    entry = ApiKey(name=name, sha256=_sha256(clear), databases=databases)
    with _edit_file(path) as file:
        file.api_keys = [*(k for k in file.api_keys if k.name != name), entry]
    return clear


def remove_api_key(path: Path, name: str) -> bool:
    """Forget the key of ``name``; return whether there was one."""
    with _edit_file(path) as file:
        kept = [k for k in file.api_keys if k.name != name]
        found = len(kept) < len(file.api_keys)
        file.api_keys = kept
    return found


def check_api_key(file: CredentialsFile, clear: str) -> Caller:
    """Return the caller that ``clear`` belongs to.

    Raises:
        InvalidCredentialError: no such key.

    """
    digest = _sha256(clear)
    # Every key is compared, each in constant time, so the answer's timing tells nothing.
    found = [k for k in file.api_keys if hmac.compare_digest(k.sha256, digest)]
    if not found:
        raise InvalidCredentialError("the API key is not known")
    return Caller(found[0].name, frozenset(found[0].databases))


def add_user(path: Path, name: str, password: str, databases: list[str]) -> None:
    """Let ``name`` in by ``password``, and no more by the last one."""
    entry = User(name=plain(name), argon2=_HASHER.hash(plain(password)), databases=databases)
    with _edit_file(path) as file:
        file.users = [*(u for u in file.users if u.name != entry.name), entry]


def remove_user(path: Path, name: str) -> bool:
    """Forget the user ``name``; return whether there was one."""
    with _edit_file(path) as file:
        kept = [u for u in file.users if u.name != plain(name)]
        found = len(kept) < len(file.users)
        file.users = kept
    return found


def check_password(user: User | None, password: str) -> bool:
    """Return whether ``password`` is the user's; without a user it takes as long, and no password is right."""
    try:
        return _HASHER.verify(user.argon2 if user else _hash_of_no_user(), plain(password)) and user is not None
    except (VerificationError, InvalidHashError):
        return False


def caller_of(user: User) -> Caller:
    """Return ``user`` as the caller of a request."""
    return Caller(user.name, frozenset(user.databases), next(iter(user.databases), ""))


@cache
def _hash_of_no_user() -> str:
    return _HASHER.hash(secrets.token_urlsafe())


def plain(text: str) -> str:
    """Return a name or password in the one form of those that look alike (RFC 8265), whatever keyboard wrote it."""
    return normalize("NFC", text)


def make_token(secret: str, subject: str, databases: list[str], lifetime: timedelta) -> str:
    """Return a signed JWT (RFC 7519) that lets ``subject`` use ``databases`` until ``lifetime`` from now."""
    now = datetime.now(UTC)
    claims = {"sub": subject, "iat": now, "exp": now + lifetime, "databases": databases}
    return jwt.encode(claims, secret, algorithm=_ALGORITHM)


def check_token(secret: str, token: str) -> Caller:
    """Return the caller that ``token`` names.

    Raises:
        InvalidCredentialError: signature, expiry or claims are not right.

    """
    if not secret:
        raise InvalidCredentialError("no bearer token can be checked: LIMPET_JWT_SECRET is not set")
    caller, expires = _read_token(secret, token)
    if expires <= time.time():
        raise InvalidCredentialError("the bearer token has expired")
    return caller


# A client sends the same token with every request, and all that ever changes about it is that it expires.
@lru_cache(maxsize=256)
def _read_token(secret: str, token: str) -> tuple[Caller, float]:
    """Return the caller that ``token`` names, and when it expires, in seconds since 1970."""
    try:
        claims = jwt.decode(token, secret, algorithms=[_ALGORITHM], options={"require": ["sub", "exp"]})
    except jwt.ExpiredSignatureError as error:
        raise InvalidCredentialError("the bearer token has expired") from error
    except (jwt.InvalidTokenError, ValueError) as error:
        raise InvalidCredentialError("the bearer token is not valid") from error
    databases = claims.get("databases", [])
    if not isinstance(databases, list) or not all(isinstance(d, str) for d in databases):
        raise InvalidCredentialError("the bearer token's claim 'databases' is not an array of names")
    subject = str(claims["sub"])
    if not subject or UNKEEPABLE.search(subject):
        raise InvalidCredentialError("the bearer token's subject is empty, or no text that can be kept")
    return Caller(subject, frozenset(databases), next(iter(databases), "")), int(claims["exp"])


def _sha256(clear: str) -> str:
    return hashlib.sha256(clear.encode("utf-8", "surrogatepass")).hexdigest()


@contextmanager
def _edit_file(path: Path) -> Iterator[CredentialsFile]:
    """Yield what ``path`` holds, to be changed, and replace the file after the block; other editors wait."""
    directory = os.open(path.parent, os.O_RDONLY)  # the file itself is another one after each change
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        file = read_credentials(path)
        yield file
        write_private(path, json.dumps(file.model_dump(mode="json"), indent=1))
    finally:
        os.close(directory)
