"""The bodies of imports: small JSON objects, and parts of rows, one for each line."""

import json
from typing import TypeVar

import anyio
from fastapi import Request
from pydantic import BaseModel, ValidationError

from api_stub.bodies import parse
from api_stub.problems import BAD_PARAMETER, TOO_LARGE, TOO_SLOW, ProblemError
from worker.flaws import field_error

M = TypeVar("M", bound=BaseModel)
_LARGEST = 16 * 2**20
_MOST_ROWS = 10_000
_PATIENCE = 30  # seconds without a byte


async def read_model(request: Request, model: type[M]) -> M:
    """Read the body as ``model``.

    Raises:
        ProblemError: 400, 408 or 413.

    """
    try:
        return model.model_validate(parse(await _read(request)))
    except ValidationError as wrong:
        errors = [field_error(dict(error)) for error in wrong.errors(include_url=False)]
        raise ProblemError(BAD_PARAMETER, "; ".join(f"{e['field']} {e['message']}" for e in errors)) from wrong


async def row_lines(request: Request) -> list[bytes]:
    """Read the body as rows: NDJSON, or a JSON array, of which each element becomes a line.

    Raises:
        ProblemError: 400, 408 or 413.

    """
    data = await _read(request)
    if data.lstrip()[:1] == b"[":
        lines = [json.dumps(row).encode() for row in parse(data)]
    else:
        lines = [line for line in data.split(b"\n") if line.strip()]
    if len(lines) > _MOST_ROWS:
        raise ProblemError(TOO_LARGE, f"A part has at most {_MOST_ROWS} rows; send several")
    return lines


async def _read(request: Request) -> bytes:
    body, stream = bytearray(), request.stream()
    try:
        while True:
            with anyio.fail_after(_PATIENCE):
                piece = await anext(stream, None)
            if piece is None:
                return bytes(body)
            body += piece
            if len(body) > _LARGEST:
                raise ProblemError(TOO_LARGE, f"The body is larger than {_LARGEST} bytes; send smaller parts")
    except TimeoutError as slow:
        raise ProblemError(TOO_SLOW, f"Not one byte came in {_PATIENCE} seconds") from slow
