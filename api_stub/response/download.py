"""Answer with a content's bytes (RFC 9110 §8.6, §14; RFC 6266; RFC 9530)."""

import base64
import mimetypes
import re
import unicodedata
from collections.abc import Iterator
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from worker.blobs.read import BlobView

_NOT_ASCII_SAFE = re.compile(r"[^A-Za-z0-9 !#$&+.^_`|~()\[\]{}@,;=-]")
# What turns the direction of writing makes a name look like another one (Unicode TR 36); joiners are parts of words.
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


def content_response(request: Request, blob: BlobView, file_name: str | None) -> Response:
    """Return the bytes of ``blob``, or the range of them that is asked for; HEAD gets the headers only."""
    etag = f'"{blob.sha256.hex()}"'
    headers = {
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Content-Disposition": disposition(file_name),
        "Repr-Digest": f"sha-256=:{base64.b64encode(blob.sha256).decode()}:",
        # What a stranger uploaded must never run in our origin.
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox",
    }
    if _matches_etag(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    status, first, length = 200, 0, blob.size
    # Only GET has ranges (RFC 9110 §14.2).
    range_header = request.headers.get("range") if request.method == "GET" else None
    if range_header and request.headers.get("if-range", etag) == etag:
        byte_range = _read_range(range_header, blob.size)
        if byte_range == ():
            return Response(status_code=416, headers=headers | {"Content-Range": f"bytes */{blob.size}"})
        if byte_range:
            status, (first, length) = 206, byte_range
            headers["Content-Range"] = f"bytes {first}-{first + length - 1}/{blob.size}"
    headers["Content-Length"] = str(length)
    body: Iterator[bytes] = iter(()) if request.method == "HEAD" else blob.read(first, length)
    # As a header, for Starlette would add a charset to text, and that of the file is not known.
    return StreamingResponse(body, status, headers | {"Content-Type": _media_type(file_name)})


def _read_range(range_header: str, size: int) -> tuple[int, int] | tuple[()] | None:
    """Return (first, length) of a single range; () if it can't be had, None if it is to be ignored."""
    found = _RANGE.fullmatch(range_header.strip())
    if found is None or found[1] == found[2] == "":
        return None
    if found[1] == "":
        length = min(int(found[2]), size)
        return (size - length, length) if length else ()
    first, last = int(found[1]), min(int(found[2]) if found[2] else size - 1, size - 1)
    if found[2] and int(found[2]) < first:
        return None
    return (first, last - first + 1) if first < size else ()


def _matches_etag(header: str | None, etag: str) -> bool:
    if header is None:
        return False
    return header.strip() == "*" or etag in [tag.strip().removeprefix("W/") for tag in header.split(",")]


def _media_type(file_name: str | None) -> str:
    # Of the suffix only: the whole name would be read as a URL, and a data: URL says its type itself.
    suffix = re.search(r"\.[A-Za-z0-9]{1,10}\Z", file_name or "")
    guessed, encoding = mimetypes.guess_type(f"x{suffix[0]}" if suffix else "")
    return "application/octet-stream" if guessed is None or encoding else guessed


def disposition(file_name: str | None) -> str:
    """Return Content-Disposition for a file: path parts dropped, what ASCII can't say in RFC 8187's form besides."""
    name = re.split(r"[/\\]", file_name or "")[-1]
    name = "".join(c for c in name if unicodedata.category(c) not in ("Cc", "Cs", "Zl", "Zp") and c not in _BIDI)
    if not name.strip(". "):
        return "attachment"
    ascii_name = _NOT_ASCII_SAFE.sub("_", name)
    extended = "" if ascii_name == name else f"; filename*=UTF-8''{quote(name, safe='')}"
    return f'attachment; filename="{ascii_name}"{extended}'
