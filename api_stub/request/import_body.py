"""The bodies of imports: small JSON objects, and parts of rows, one for each line."""

import hashlib
import json
from typing import TypeVar

import anyio
from anyio.to_thread import run_sync
from fastapi import Request
from pydantic import BaseModel, ValidationError

from api_stub.problems import BAD_PARAMETER, TOO_LARGE, ProblemError
from api_stub.request import body_stream
from api_stub.request.json_body import parse
from worker.blobs.multipart import MultipartUpload
from worker.kinds.validation import describe_errors, field_errors

ModelT = TypeVar("ModelT", bound=BaseModel)
MANIFEST_TYPES = ("text/csv", "application/x-ndjson", "application/gzip")
_MAX_BODY_BYTES = 16 * 2**20
_MAX_ROWS = 10_000


async def read_model(request: Request, model: type[ModelT]) -> ModelT:
    """Read the body as ``model``.

    Raises:
        ProblemError: 400, 408 or 413.

    """
    return as_model(parse(await _read_bytes(request)), model)


def as_model(value: object, model: type[ModelT]) -> ModelT:
    """Return ``value`` as ``model``.

    Raises:
        ProblemError: 400.

    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise ProblemError(BAD_PARAMETER, describe_errors(field_errors(error))) from error


async def read_row_lines(request: Request) -> list[bytes]:
    """Read the body as rows: NDJSON, or a JSON array, of which each element becomes a line.

    Raises:
        ProblemError: 400, 408 or 413.

    """
    data = await _read_bytes(request)
    if data.lstrip()[:1] == b"[":
        lines = [json.dumps(row).encode() for row in parse(data)]
    else:
        lines = [line for line in data.split(b"\n") if line.strip()]
    if len(lines) > _MAX_ROWS:
        raise ProblemError(TOO_LARGE, f"A part has at most {_MAX_ROWS} rows; send several")
    return lines


async def store_body(request: Request, key: str) -> str:
    """Store the body, of any size, under ``key`` while it arrives; return its SHA-256.

    Raises:
        ProblemError: 408.
        StoreUnavailableError: it may pass.

    """
    upload, sha256 = MultipartUpload(key), hashlib.sha256()
    try:
        async for piece in body_stream.pieces(request):
            sha256.update(piece)
            await run_sync(upload.write, piece)
        await run_sync(upload.finish)
        return sha256.hexdigest()
    finally:
        with anyio.CancelScope(shield=True):
            await run_sync(upload.abort)


async def _read_bytes(request: Request) -> bytes:
    body = bytearray()
    async for piece in body_stream.pieces(request):
        body += piece
        if len(body) > _MAX_BODY_BYTES:
            raise ProblemError(TOO_LARGE, f"The body is larger than {_MAX_BODY_BYTES} bytes; send smaller parts")
    return bytes(body)
