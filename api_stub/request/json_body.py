"""Read request bodies: bounded, hashed, and JSON to the letter (RFC 8259).

A body may be far larger than what may stay in memory, so a large one is taken
apart while it arrives: long strings, which can only be contents, go their own way.
"""

import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
from anyio.to_thread import run_sync
from fastapi import Request

from api_stub.problems import MEDIA_TYPE, NOT_JSON, TOO_LARGE, UNAVAILABLE, ProblemError, sentence
from api_stub.request import body_stream
from api_stub.request.backpressure import admit_large
from api_stub.request.content_sink import ContentSink, Sinks
from api_stub.request.json_lifter import Lifter, NotJsonError, SkeletonTooLargeError
from worker.settings import settings

_JSON_TYPES = ("application/json", "text/json")

_MAX_SMALL_BYTES = 2 * 2**20  # bodies below are parsed as they are
_PIECE_BYTES = 2**20  # so that the hops to a thread are few
# Each large body that is being read may hold an upload, some 15 MiB. The others wait in their sockets, and not in
# threads, which the first ones need to go on.
_LARGE_BODY_SLOTS = anyio.Semaphore(4)
_SLOT_TIMEOUT_SECONDS = 30  # seconds without a place among the four


@dataclass(frozen=True, slots=True)
class Body:
    """A body that was read whole: what it says, and the SHA-256 of its bytes.

    ``lifted`` has the long strings, each under the marker that stands for it in ``content``.
    """

    content: Any
    sha256: bytes
    lifted: Mapping[str, ContentSink] = field(default_factory=dict)


async def read_json(request: Request, database: str, *, lenient: bool = False) -> Body:
    """Read the body of ``request`` as JSON; its large contents are in the store of ``database`` then.

    ``lenient``: it is JSON whatever Content-Type and Content-Encoding say, and an empty one is ``{}``.

    Raises:
        ProblemError: 400, 408, 413, 415 or 503.
        StoreUnavailableError: a content could not be stored.

    """
    media_type = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if not lenient and media_type not in _JSON_TYPES and not media_type.endswith("+json"):
        raise ProblemError(MEDIA_TYPE, f"Send Content-Type: application/json, not {media_type!r}")
    coding = request.headers.get("content-encoding", "").strip().lower()
    if not lenient and coding not in ("", "identity"):
        raise ProblemError(MEDIA_TYPE, f"Send the body as it is, without Content-Encoding: {coding}")
    stream = _BoundedBody(request)
    head = await stream.read(_MAX_SMALL_BYTES)
    if len(head) < _MAX_SMALL_BYTES:
        content = {} if lenient and not head.strip() else parse(head)
        return Body(content, hashlib.sha256(head).digest())
    admit_large()
    async with _hold_large_body_slot(), _abort_at_end(Sinks(database)) as sinks:
        return await _read_large(head, stream, sinks)


async def _read_large(head: bytes, stream: "_BoundedBody", sinks: Sinks) -> Body:
    digest, lifter = hashlib.sha256(), Lifter(sinks.open)

    def take(piece: bytes) -> None:
        digest.update(piece)
        lifter.feed(piece)

    try:
        piece = head
        while piece:
            await run_sync(take, piece)
            piece = await stream.read(_PIECE_BYTES)
    except SkeletonTooLargeError as error:
        raise ProblemError(TOO_LARGE, f"{sentence(error)}; send several batches") from error
    except NotJsonError as error:
        raise ProblemError(NOT_JSON, f"{error}") from error
    lifted = lifter.finish()
    return Body(await run_sync(parse, lifted.skeleton), digest.digest(), lifted.sinks)


@asynccontextmanager
async def _hold_large_body_slot() -> AsyncIterator[None]:
    try:
        with anyio.fail_after(_SLOT_TIMEOUT_SECONDS):
            await _LARGE_BODY_SLOTS.acquire()
    except TimeoutError as error:
        raise ProblemError(UNAVAILABLE, "Too many large bodies at once", {"Retry-After": "10"}) from error
    try:
        yield
    finally:
        _LARGE_BODY_SLOTS.release()


@asynccontextmanager
async def _abort_at_end(sinks: Sinks) -> AsyncIterator[Sinks]:
    try:
        yield sinks
    except BaseException:
        sinks.close()
        raise
    finally:
        with anyio.CancelScope(shield=True):  # also when the client is gone
            await run_sync(sinks.abort)


class _BoundedBody:
    """A body on its way in, bounded."""

    def __init__(self, request: Request) -> None:
        self._pieces = body_stream.pieces(request)
        self._size = 0

    async def read(self, min_bytes: int) -> bytes:
        """Return the next bytes, at least so many unless the body ends.

        Raises:
            ProblemError: 408 or 413.

        """
        pieces, size = [], 0
        while size < min_bytes and (piece := await self._next()) is not None:
            pieces.append(piece)
            size += len(piece)
        return b"".join(pieces)

    async def _next(self) -> bytes | None:
        piece = await anext(self._pieces, None)
        self._size += len(piece or b"")
        if self._size > settings().max_body:
            raise ProblemError(TOO_LARGE, f"The body is larger than {settings().max_body} bytes; send several batches")
        return piece


def parse(data: bytes) -> Any:
    """Return what the JSON text ``data`` says.

    Raises:
        ProblemError: 400.

    """
    try:
        return json.loads(data.decode("utf-8-sig"), parse_constant=_refuse_constant, parse_int=_read_integer)
    except UnicodeDecodeError as error:
        raise ProblemError(NOT_JSON, f"The body is not UTF-8: {error.reason} at byte {error.start}") from error
    except json.JSONDecodeError as error:
        raise ProblemError(NOT_JSON, f"{error.msg} at line {error.lineno}, column {error.colno}") from error
    except RecursionError as error:
        raise ProblemError(NOT_JSON, "The body is nested too deeply") from error


def _refuse_constant(name: str) -> None:
    raise json.JSONDecodeError(f"{name} is no JSON value", name, 0)


def _read_integer(digits: str) -> int | float:
    # No field takes more than 20 digits, and Python refuses to read thousands of them.
    return int(digits) if len(digits) <= 20 else float("inf")  # noqa: PLR2004
