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

_REMEMBERED = 60.0  # seconds
_MOST_REMEMBERED = 1000
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0  # seconds
_CALM = 300.0  # seconds after which failures are forgotten
_MOST_PAUSING = 8


@dataclass(slots=True)
class _Name:
    """The attempts at one name; all names without a user share one."""

    turn: anyio.Lock = field(default_factory=anyio.Lock)
    failures: int = 0
    failed_at: float = 0.0
    pausing: int = 0


@dataclass(slots=True)
class Passwords:
    """What this process remembers of passwords that it has checked."""

    _key: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    _remembered: OrderedDict[bytes, float] = field(default_factory=OrderedDict)
    _names: dict[str | None, _Name] = field(default_factory=dict)
    _hashing: anyio.CapacityLimiter | None = None

    async def check(self, file: CredentialsFile, stamp: int, header: str) -> Caller:
        """Return the caller that an ``Authorization: Basic`` names; ``stamp`` is the version of ``file``.

        Raises:
            BadCredentialError: unknown name or wrong password; said late if there were others before.
            ProblemError: 429, too many wrong ones for this name are being answered.

        """
        name, password = _name_and_password(header)
        user = next((u for u in file.users if u.name == name), None)
        word = hmac.digest(self._key, f"{stamp}\0{name}\0{password}".encode("utf-8", "surrogatepass"), hashlib.sha256)
        if user is not None and self._remembers(word):
            return caller_of(user)
        attempts = self._names.setdefault(user.name if user else None, _Name())
        async with attempts.turn:
            good = self._remembers(word)
            # Asked here, not before: all who come at once wait for their turn while nobody pauses yet.
            if not good and attempts.pausing >= _MOST_PAUSING:
                raise ProblemError(
                    TOO_MANY_ATTEMPTS, "Wait before the next attempt", {"Retry-After": str(int(_LONGEST_PAUSE))}
                )
            good = good or await run_sync(check_password, user, password, limiter=self._limiter())
        if not good or user is None:
            await _pause(attempts)
            raise InvalidCredentialError("the user is unknown or the password is wrong")
        attempts.failures = 0
        self._remember(word)
        return caller_of(user)

    def _remembers(self, word: bytes) -> bool:
        return self._remembered.get(word, 0.0) > time.monotonic()

    def _remember(self, word: bytes) -> None:
        self._remembered.pop(word, None)
        self._remembered[word] = time.monotonic() + _REMEMBERED
        while len(self._remembered) > _MOST_REMEMBERED:
            self._remembered.popitem(last=False)

    def _limiter(self) -> anyio.CapacityLimiter:
        if self._hashing is None:  # it must be made inside the event loop
            self._hashing = anyio.CapacityLimiter(2)
        return self._hashing


async def _pause(attempts: _Name) -> None:
    """Wait longer after each failure in a row."""
    now = time.monotonic()
    attempts.failures = 1 if now - attempts.failed_at > _CALM else attempts.failures + 1
    attempts.failed_at = now
    attempts.pausing += 1
    try:
        await anyio.sleep(min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(attempts.failures - 1, 10)))
    finally:
        attempts.pausing -= 1


def _name_and_password(header: str) -> tuple[str, str]:
    try:
        text = base64.b64decode(header.strip(), validate=True)
    except (binascii.Error, ValueError) as wrong:
        raise InvalidCredentialError("the Authorization header is not 'Basic' and base64") from wrong
    try:
        clear = text.decode()
    except UnicodeDecodeError:
        clear = text.decode("latin-1")  # what old clients send
    name, colon, password = clear.partition(":")
    if not colon:
        raise InvalidCredentialError("the Authorization header has no colon between name and password")
    return plain(name), password
