"""Check passwords (RFC 7617): right ones are remembered, wrong ones are answered late.

A right password is remembered for a minute, under a keyed hash. Each failure in a row for a user delays its answer
longer, up to two seconds; eight delayed answers at once are the limit (429). All names without a user count as one.
A process computes two hashes at a time, one for each name, so guesses at one name leave the other slot free.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass, field

import anyio
from anyio.to_thread import run_sync

from api_stub.auth.credentials import Caller, CredentialsFile, InvalidCredentialError, caller_of, check_password, plain
from api_stub.problems import TOO_MANY_ATTEMPTS, ProblemError

_REMEMBER_SECONDS = 60.0  # seconds
_MAX_REMEMBERED = 1000
_FIRST_DELAY_SECONDS, _MAX_DELAY_SECONDS = 0.1, 2.0  # seconds
_FORGET_FAILURES_SECONDS = 300.0  # seconds after which failures are forgotten
_MAX_DELAYED_ANSWERS = 8


@dataclass(slots=True)
class _Attempts:
    """The attempts at one name; all names without a user share one."""

    lock: anyio.Lock = field(default_factory=anyio.Lock)
    failures: int = 0
    failed_at: float = 0.0
    delayed: int = 0


@dataclass(slots=True)
class Passwords:
    """What this process remembers of passwords that it has checked."""

    _key: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    _remembered: OrderedDict[bytes, float] = field(default_factory=OrderedDict)
    _names: dict[str | None, _Attempts] = field(default_factory=dict)
    _hashing: anyio.CapacityLimiter | None = None

    async def check(self, file: CredentialsFile, version: int, header: str) -> Caller:
        """Return the caller that an ``Authorization: Basic`` names; ``version`` is the version of ``file``.

        Raises:
            InvalidCredentialError: unknown name or wrong password; said late if there were others before.
            ProblemError: 429, too many wrong ones for this name are being answered.

        """
        name, password = _split_header(header)
        user = next((u for u in file.users if u.name == name), None)
        digest = hmac.digest(
            self._key, f"{version}\0{name}\0{password}".encode("utf-8", "surrogatepass"), hashlib.sha256
        )
        if user is not None and self._remembers(digest):
            return caller_of(user)
        attempts = self._names.setdefault(user.name if user else None, _Attempts())
        async with attempts.lock:
            is_right = self._remembers(digest)
            # Checked here and not before: requests that came at once wait for their turn before there is a pause.
            if not is_right and attempts.delayed >= _MAX_DELAYED_ANSWERS:
                raise ProblemError(
                    TOO_MANY_ATTEMPTS, "Wait before the next attempt", {"Retry-After": str(int(_MAX_DELAY_SECONDS))}
                )
            is_right = is_right or await run_sync(check_password, user, password, limiter=self._limiter())
        if not is_right or user is None:
            await _delay_answer(attempts)
            raise InvalidCredentialError("the user is unknown or the password is wrong")
        attempts.failures = 0
        self._remember(digest)
        return caller_of(user)

    def _remembers(self, digest: bytes) -> bool:
        return self._remembered.get(digest, 0.0) > time.monotonic()

    def _remember(self, digest: bytes) -> None:
        self._remembered.pop(digest, None)
        self._remembered[digest] = time.monotonic() + _REMEMBER_SECONDS
        while len(self._remembered) > _MAX_REMEMBERED:
            self._remembered.popitem(last=False)

    def _limiter(self) -> anyio.CapacityLimiter:
        if self._hashing is None:  # it must be made inside the event loop
            self._hashing = anyio.CapacityLimiter(2)
        return self._hashing


async def _delay_answer(attempts: _Attempts) -> None:
    """Wait longer after each failure in a row."""
    now = time.monotonic()
    attempts.failures = 1 if now - attempts.failed_at > _FORGET_FAILURES_SECONDS else attempts.failures + 1
    attempts.failed_at = now
    attempts.delayed += 1
    try:
        await anyio.sleep(min(_MAX_DELAY_SECONDS, _FIRST_DELAY_SECONDS * 2 ** min(attempts.failures - 1, 10)))
    finally:
        attempts.delayed -= 1


def _split_header(header: str) -> tuple[str, str]:
    try:
        text = base64.b64decode(header.strip(), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidCredentialError("the Authorization header is not 'Basic' and base64") from error
    try:
        decoded = text.decode()
    except UnicodeDecodeError:
        decoded = text.decode("latin-1")  # what old clients send
    name, colon, password = decoded.partition(":")
    if not colon:
        raise InvalidCredentialError("the Authorization header has no colon between name and password")
    return plain(name), password
