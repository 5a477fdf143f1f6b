"""Stream contents into a JSON text as base64: none is ever held whole."""

import base64
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

from fastapi import Response
from fastapi.responses import StreamingResponse

from worker.blobs.read import BlobView


def next_mark(contents: Mapping[str, BlobView]) -> str:
    """Return the mark of one more content beside ``contents``; new for each answer, so no sender can know it."""
    nonce = next(iter(contents), secrets.token_hex(16)).partition("-")[0]
    return f"{nonce}-{len(contents)}"


def with_contents(
    text: str, contents: Mapping[str, BlobView], status: int, headers: dict[str, str] | None, media_type: str
) -> Response:
    """Return the answer ``text``, in which each content stands in the place of its mark.

    Raises:
        StoreUnavailableError: the first content can't be read. Later failures cut the answer off.

    """
    if not contents:
        return Response(text, status, headers, media_type)
    return StreamingResponse(_fill_in(text, contents), status, headers, media_type)


def _fill_in(text: str, contents: Mapping[str, BlobView]) -> Iterator[bytes]:
    """Yield ``text`` with each mark replaced by the content it stands for; the first content is opened at once."""
    # One pattern for all, because one with a branch for each takes the square of their number.
    parts = re.split(f"({next(iter(contents)).partition('-')[0]}-[0-9]+)", text)
    first = contents[parts[1]].read()

    def pieces() -> Iterator[bytes]:
        for number, part in enumerate(parts):
            if number % 2:
                yield from _encode_base64(first if number == 1 else contents[part].read())
            else:
                yield part.encode()

    return pieces()


def _encode_base64(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the base64 of ``pieces``, whatever their lengths: what is left over of three bytes waits for the next."""
    pending = b""
    for piece in chain(pieces, (None,)):
        data = pending if piece is None else pending + piece
        end = len(data) if piece is None else len(data) - len(data) % 3
        pending = data[end:]
        yield base64.b64encode(data[:end])
