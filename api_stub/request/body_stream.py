"""A request body on its way in, from a client that may be slow, but not so slow that it holds a place for ever."""

import asyncio
from collections.abc import AsyncGenerator

from fastapi import Request

from api_stub.problems import TOO_SLOW, ProblemError

_READ_TIMEOUT_SECONDS = 30  # seconds without a byte, and that a body may take whatever its size
_MIN_BYTES_PER_SECOND = 16 * 2**10  # bytes that must have come for each second after that


async def pieces(request: Request) -> AsyncGenerator[bytes]:
    """Yield the body as it comes.

    Raises:
        ProblemError: 408, nothing came for long, or too little in all.

    """
    stream, now = request.stream(), asyncio.get_running_loop().time
    waited_seconds, size = 0.0, 0
    while True:
        began = now()
        try:
            async with asyncio.timeout(_READ_TIMEOUT_SECONDS):
                piece = await anext(stream, None)
        except TimeoutError as error:
            raise ProblemError(TOO_SLOW, f"Not one byte came in {_READ_TIMEOUT_SECONDS} seconds") from error
        if piece is None:
            return
        # Only what we wait for the client: a store that is slow is not the sender's fault.
        waited_seconds += now() - began
        size += len(piece)
        if piece and size < (waited_seconds - _READ_TIMEOUT_SECONDS) * _MIN_BYTES_PER_SECOND:
            rate = _MIN_BYTES_PER_SECOND // 2**10
            minimum = f"{rate} KiB must come for each second after the first {_READ_TIMEOUT_SECONDS}"
            raise ProblemError(TOO_SLOW, f"{size} bytes came in {waited_seconds:.0f} seconds: {minimum}")
        yield piece
