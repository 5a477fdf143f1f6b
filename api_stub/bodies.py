"""Read request bodies: bounded, hashed, and JSON to the letter (RFC 8259)."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from fastapi import Request

from api_stub.problems import MEDIA_TYPE, NOT_JSON, TOO_LARGE, ProblemError
from worker.settings import settings

_JSON = ("application/json", "text/json")


@dataclass(frozen=True, slots=True)
class Body:
    """A body that was read whole: what it says, and the SHA-256 of its bytes."""

    content: Any
    sha256: bytes
    lifted: Any = None


async def read_json(request: Request, database: str) -> Body:
    """Read the body of ``request`` as JSON.

    Raises:
        ProblemError: 400, 413 or 415.

    """
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind not in _JSON and not kind.endswith("+json"):
        raise ProblemError(MEDIA_TYPE, f"Send Content-Type: application/json, not {kind!r}")
    digest, pieces, size = hashlib.sha256(), [], 0
    async for piece in request.stream():
        size += len(piece)
        if size > settings().max_body:
            raise ProblemError(TOO_LARGE, f"The body is larger than {settings().max_body} bytes; send several batches")
        digest.update(piece)
        pieces.append(piece)
    return Body(parse(b"".join(pieces)), digest.digest())


def parse(data: bytes) -> Any:
    """Return what the JSON text ``data`` says.

    Raises:
        ProblemError: 400.

    """
    try:
        return json.loads(data.decode("utf-8-sig"), parse_constant=_refuse, parse_int=_integer)
    except UnicodeDecodeError as wrong:
        raise ProblemError(NOT_JSON, f"The body is not UTF-8: {wrong.reason} at byte {wrong.start}") from wrong
    except json.JSONDecodeError as wrong:
        raise ProblemError(NOT_JSON, f"{wrong.msg} at line {wrong.lineno}, column {wrong.colno}") from wrong
    except RecursionError as wrong:
        raise ProblemError(NOT_JSON, "The body is nested too deeply") from wrong


def _refuse(name: str) -> None:
    raise json.JSONDecodeError(f"{name} is no JSON value", name, 0)


def _integer(digits: str) -> int | float:
    # No field takes more than 20 digits, and Python refuses to read thousands of them.
    return int(digits) if len(digits) <= 20 else float("inf")  # noqa: PLR2004
