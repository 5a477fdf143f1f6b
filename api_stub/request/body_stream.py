"""A request body on its way in, from a client that may be slow, but not so slow that it holds a place for ever."""

import asyncio
from collections.abc import AsyncGenerator

from fastapi import Request

from api_stub.problems import TOO_SLOW, ProblemError

_PATIENCE = 30  # seconds without a byte, and that a body may take whatever its size
_LEAST = 16 * 2**10  # bytes that must have come for each second after that


async def pieces(request: Request) -> AsyncGenerator[bytes]:
    """Yield the body as it comes.

    Raises:
        ProblemError: 408, nothing came for long, or too little in all.

    """
    stream, now = request.stream(), asyncio.get_running_loop().time
    waited, size = 0.0, 0
    while True:
        began = now()
        try:
            async with asyncio.timeout(_PATIENCE):
                piece = await anext(stream, None)
        except TimeoutError as slow:
            raise ProblemError(TOO_SLOW, f"Not one byte came in {_PATIENCE} seconds") from slow
        if piece is None:
            return
        # Only what we wait for the client: a store that is slow is not the sender's fault.
        waited += now() - began
        size += len(piece)
        if piece and size < (waited - _PATIENCE) * _LEAST:
            rule = f"{_LEAST // 2**10} KiB must come for each second after the first {_PATIENCE}"
            raise ProblemError(TOO_SLOW, f"{size} bytes came in {waited:.0f} seconds: {rule}")
        yield piece
