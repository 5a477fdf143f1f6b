"""Bodies on their way in: a sender that is too slow gets the rule as its answer."""

import asyncio
from itertools import repeat

import pytest
from fastapi import Request
from starlette.types import Message

from api_stub.problems import ProblemError
from api_stub.request import body_stream

PIECE = b"x" * 1000


def sent(count: int | None = None) -> Request:
    """A request with so many pieces, or without an end; each comes at once."""
    rest = repeat(PIECE) if count is None else iter([PIECE] * count)

    async def receive() -> Message:
        await asyncio.sleep(0)
        piece = next(rest, None)
        return {"type": "http.request", "body": piece or b"", "more_body": piece is not None}

    return Request({"type": "http"}, receive)


async def length(request: Request) -> int:
    return sum([len(piece) async for piece in body_stream.pieces(request)])


def test_what_comes_at_the_least_pace_is_read_whole() -> None:
    assert asyncio.run(length(sent(100))) == 100_000


def test_a_body_that_comes_byte_by_byte_is_refused_though_there_is_always_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_stream, "_READ_TIMEOUT_SECONDS", 1)
    monkeypatch.setattr(body_stream, "_MIN_BYTES_PER_SECOND", 2**50)  # which nobody reaches
    with pytest.raises(ProblemError) as refused:
        asyncio.run(length(sent()))
    assert refused.value.type.status == 408
    assert "for each second after the first 1" in refused.value.detail
