"""Take the long strings out of a JSON text while it streams in.

What is left, the *skeleton*, is the same JSON text with a short marker in the
place of each long string; the strings themselves flow into sinks. The time is
linear in the text, the memory is the skeleton's and one piece's.
"""

import codecs
import io
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from json import JSONDecodeError
from json.decoder import scanstring  # type: ignore[attr-defined]  # typeshed lacks it
from typing import Generic, Protocol, TypeVar

# A string with more raw bytes than this is long. No field but a content takes more than 2,048 characters, and JSON
# spells one in at most twelve bytes (an escaped surrogate pair).
LONG = 24 * 2**10
# The value of a content's name is long much earlier: many small contents must not stay in memory either.
LONG_CONTENT = 2**10
MAX_SKELETON = 32 * 2**20

# Single characters are repeated possessively (``++``), so that nothing is ever tried twice. Groups are not: until
# Python 3.11.5 a possessive group with an alternative in it matches wrongly (gh-106052). They are repeated a bounded
# number of times instead, which bounds what the matcher remembers, and matched again where they left off.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*"', re.DOTALL)
# Text without long strings, as far as one pattern can tell: strings without a backslash, and with some if they are very
# short. The others are looked at one by one, but they are long enough for that.
_NAME = rb'"(?:attachment|data)"[ \t\r\n]*+:[ \t\r\n]*+'
_CONTENT = rb'(%b)"(?:[^"\\]|\\.){%d}' % (_NAME, LONG_CONTENT)
_SKIP = re.compile(rb'(?:[^"]++|(?!%b)"(?:[^"\\]{0,%d}+|(?:[^"\\]|\\.){0,256})"){0,1000}' % (_CONTENT, LONG), re.DOTALL)
_LONG_CONTENT = re.compile(_CONTENT, re.DOTALL)
# A content's name whose value has not come yet, or only its beginning; looked for at the end of what was skipped.
_OPEN_NAME = re.compile(rb'"(?:attachment|data)"[ \t\r\n]*+:?[ \t\r\n]*+\Z')
_MAX_NAME_BYTES = 64
# A whole escape. A high surrogate waits for what follows, to be decoded together with the low one.
_HEX, _LOW = rb"[0-9a-fA-F]", rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_HIGH_PAIR = rb"u[dD][89abAB]%b{2}(?:%b|(?=[^\\]|\\[^u]|\\u(?![dD][c-fC-F])%b{4}))" % (_HEX, _LOW, _HEX)
_ESCAPE = rb"\\(?:[^u]|u(?![dD][89abAB])%b{4}|%b)" % (_HEX, _HIGH_PAIR)
_TEXT = re.compile(rb'[^"\\]*+(?:%b[^"\\]*+){0,1000}' % _ESCAPE, re.DOTALL)
_MAX_ESCAPE_BYTES = 12


class SkeletonTooLargeError(Exception):
    """What is left of the text without its long strings is larger than the bound."""


class NotJsonError(ValueError):
    """A long string breaks the rules of JSON."""


class Sink(Protocol):
    """Where the text of one long string goes."""

    def write(self, text: bytes, /) -> None:
        """Take the next piece: unescaped, in UTF-8, a lone surrogate as its three bytes."""

    def write_plain(self, raw: memoryview, /) -> bool:
        """Take the next piece as it stands in the JSON text, if it can be nothing but what it says: no escapes, ASCII.

        Return whether that is so; otherwise nothing was taken. It is for the sinks that see that cheaply.
        """

    def close(self) -> None:
        """Take the end of the string."""


SinkT = TypeVar("SinkT", bound=Sink)


@dataclass(frozen=True, slots=True)
class Lifted(Generic[SinkT]):
    """The text without its long strings, and the sink for each marker that stands for one."""

    skeleton: bytes
    sinks: dict[str, SinkT]


class Lifter(Generic[SinkT]):
    """Reads one JSON text; ``open_sink`` is called at the beginning of each long string, one is open at a time.

    It does not judge the text, but what is no JSON does not become JSON: the
    skeleton fails to parse, unless NotJsonError was raised before.
    """

    def __init__(self, open_sink: Callable[[], SinkT], max_skeleton: int = MAX_SKELETON) -> None:
        self._open_sink = open_sink
        self._max_skeleton = max_skeleton
        self._nonce = secrets.token_hex(8)  # so that no text can hold a marker
        self._skeleton = io.BytesIO()  # hands out its bytes without a copy
        self._sinks: dict[str, SinkT] = {}
        self._held = b""  # the beginning of a string or of an escape that may end in the next piece
        self._sink: SinkT | None = None
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def feed(self, data: bytes) -> None:
        """Take the next piece of the text.

        Raises:
            SkeletonTooLargeError: the bound is passed.
            NotJsonError: a long string has a bad escape, a control character or is not UTF-8.

        """
        data, self._held = self._held + data, b""
        offset: int | None = 0
        while offset is not None:
            offset = self._skip(data, offset) if self._sink is None else self._lift(data, offset, self._sink)

    def finish(self) -> Lifted[SinkT]:
        """Return what was read; the lifter is used up."""
        # What is held here is a string that never ended, which the parser of the skeleton is to find.
        self._keep(self._held)
        return Lifted(self._skeleton.getvalue(), self._sinks)

    def _keep(self, data: bytes | memoryview) -> None:
        if self._skeleton.tell() + len(data) > self._max_skeleton:
            raise SkeletonTooLargeError(f"the text without its long strings has more than {self._max_skeleton} bytes")
        self._skeleton.write(data)

    def _skip(self, data: bytes, offset: int) -> int | None:
        """Keep everything up to the next long string; return where it begins, None if there is none yet."""
        end = _match_all(_SKIP, data, offset)
        if content := _LONG_CONTENT.match(data, end):
            return self._begin(data, offset, content.end(1))
        bound = end + LONG + 2
        if short_string := _STRING.match(data, end, bound):
            self._keep(memoryview(data)[offset : short_string.end()])
            return short_string.end()
        if bound <= len(data):
            return self._begin(data, offset, end)
        # A string here may still end in time, and the value of a name before it may still become long.
        tail = max(offset, end - _MAX_NAME_BYTES)
        name = _OPEN_NAME.search(data[tail:end])
        kept_end = tail + name.start() if name else end
        self._keep(memoryview(data)[offset:kept_end])
        self._held = data[kept_end:]
        return None

    def _begin(self, data: bytes, offset: int, quote: int) -> int:
        """Keep what lies before the long string that begins at ``quote``, and open its sink."""
        self._keep(memoryview(data)[offset:quote])
        marker = f"lifted:{self._nonce}:{len(self._sinks)}"
        # Without the closing quote: it comes when the string ends, if it does.
        self._keep(rb'"\u0000' + marker.encode())
        self._sink = self._open_sink()
        self._sinks[f"\0{marker}"] = self._sink
        self._decoder.reset()
        return quote + 1

    def _lift(self, data: bytes, offset: int, sink: SinkT) -> int | None:
        """Pass on the string that ``offset`` lies in; return where the text goes on, None if that is not there yet."""
        end = _find_text_end(data, offset)
        is_at_end = data[end : end + 1] == b'"'
        self._write_piece(memoryview(data)[offset:end], sink, final=is_at_end)
        if is_at_end:
            sink.close()
            self._sink = None
            self._keep(b'"')
            return end + 1
        self._held = data[end:]
        if len(self._held) >= _MAX_ESCAPE_BYTES:
            raise NotJsonError("Bad escape in a long string")
        return None

    def _write_piece(self, raw: memoryview, sink: SinkT, *, final: bool) -> None:
        is_whole = not self._decoder.getstate()[0]  # no character began in the piece before
        if is_whole and sink.write_plain(raw):
            return
        if text := self._unescape(raw, final=final):
            sink.write(text)

    def _unescape(self, raw: memoryview, *, final: bool) -> bytes:
        try:
            text: str = scanstring(self._decoder.decode(raw, final) + '"', 0)[0]
            return text.encode("utf-8", "surrogatepass")
        except UnicodeDecodeError as error:
            raise NotJsonError(f"A long string is not UTF-8: {error.reason}") from error
        except JSONDecodeError as error:
            raise NotJsonError(f"{error.msg} in a long string") from error


def _find_text_end(data: bytes, offset: int) -> int:
    """Return how far the string goes in whole characters: to its closing quote, or to where more data is needed."""
    quote = data.find(b'"', offset)
    end = len(data) if quote < 0 else quote
    if data.find(b"\\", max(offset, end - _MAX_ESCAPE_BYTES), end) < 0:
        return end  # the fast way: ten times as fast as any pattern
    return _match_all(_TEXT, data, offset)


def _match_all(pattern: re.Pattern[bytes], data: bytes, offset: int) -> int:
    """Return where a pattern that matches everywhere has matched as often as it can."""
    while True:
        match = pattern.match(data, offset)
        assert match is not None
        if match.end() == offset:
            return offset
        offset = match.end()
