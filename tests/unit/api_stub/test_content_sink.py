"""The content sink: what base64 says, decoded piece by piece as strictly as at once."""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Iterator
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from api_stub.request.base64_stream import decode
from api_stub.request.content_sink import NOT_BASE64, ContentSink
from api_stub.request.entry_content import parse_case_attachment
from api_stub.request.json_lifter import Lifter, NotJsonError
from worker.blobs.spool import Spool
from worker.settings import settings

INLINE = 100


class Kept:
    """An object in the making that stays in memory."""

    key = "here"

    def __init__(self) -> None:
        self.data = b""
        self.end = ""

    def write(self, data: bytes) -> None:
        assert not self.end
        self.data += data

    def finish(self) -> None:
        assert not self.end
        self.end = "finished"

    def abort(self) -> None:
        self.end = self.end or "aborted"


class Opened:
    """A sink, and the uploads that it opened; ``plainly``: pieces are given as they stand in a JSON text first."""

    def __init__(self, pieces: Iterable[bytes], inline: int = INLINE, *, plainly: bool = False) -> None:
        self.uploads: list[Kept] = []
        self.sink = ContentSink(self._open, Spool(), inline)
        for piece in pieces:
            if plainly and self.sink.write_plain(memoryview(piece)):
                assert PLAIN.fullmatch(piece)
            else:
                self.sink.write(piece)
        self.sink.close()

    def _open(self) -> Kept:
        self.uploads.append(Kept())
        return self.uploads[-1]

    @property
    def content(self) -> bytes | None:
        """What was taken, wherever it is; the facts beside it are right."""
        sink = self.sink
        if sink.error is not None:
            assert sink.spooled is None
            assert sink.stored is None
            return None
        data = self.uploads[0].data if sink.spooled is None else sink.spooled.read()
        assert (sink.size, sink.sha256) == (len(data), hashlib.sha256(data).digest())
        return data


@pytest.fixture
def small_limit(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """At most 1,000 bytes of content are taken."""
    monkeypatch.setenv("LIMPET_MAX_CONTENT", "1000")
    settings.cache_clear()
    yield 1000
    monkeypatch.undo()
    settings.cache_clear()


def cut(text: bytes, places: Iterable[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    return [text[start:end] for start, end in pairwise(edges)]


places = st.lists(st.integers(0, 10**6), max_size=8)
spaced = st.lists(st.sampled_from([b" ", b"\r\n", b"\t", b""]), min_size=1, max_size=4)
broken = st.lists(
    st.sampled_from([b"QUJD", b"Q", b"=", b"==", b" ", b"\n", b"-", b"\xc3\xa9", b"\0", b"+/"]), max_size=60
)


@given(st.binary(max_size=3 * INLINE), places, spaced)
def test_content_is_what_was_encoded(data: bytes, cuts: list[int], spaces: list[bytes]) -> None:
    lines = cut(base64.b64encode(data), cuts)
    text = b"".join(line + spaces[i % len(spaces)] for i, line in enumerate(lines))

    assert Opened(cut(text, cuts)).content == data


PLAIN = re.compile(rb"[A-Za-z0-9+/=]*")
RFC_4648 = re.compile(rb"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")


@given(broken, places)
@example([b"QUJD", b"="], [])
@example([b"QUJD", b"==", b"=="], [])
@example([b"QUJD", b"==", b"=="], [4])
@example([b"Q", b"==", b"="], [])
@example([b"+/==", b"+/=="], [4, 4])  # an empty piece between them
def test_only_base64_to_the_letter_is_taken_at_once_or_piece_by_piece(parts: list[bytes], cuts: list[int]) -> None:
    text = b"".join(parts)
    bare = re.sub(rb"[ \t\r\n]+", b"", text)
    expected = base64.b64decode(bare) if RFC_4648.fullmatch(bare) else None

    for opened in (Opened(cut(text, cuts)), Opened(cut(text, cuts), plainly=True)):
        assert opened.content == expected
        assert opened.sink.error == (NOT_BASE64 if expected is None else None)
        assert opened.sink.head == text[:300]
    if expected is None:
        with pytest.raises(binascii.Error):
            decode(text)
    else:
        assert decode(text) == expected


def test_content_up_to_the_bound_stays_in_memory() -> None:
    opened = Opened([base64.b64encode(b"x" * INLINE)])

    assert opened.sink.spooled is not None
    assert not opened.uploads


def test_content_beyond_the_bound_is_stored() -> None:
    opened = Opened(cut(base64.b64encode(b"x" * (INLINE + 1)), [50]))

    assert opened.sink.spooled is None
    assert opened.sink.stored is not None
    assert opened.sink.stored.object_key == "here"
    assert (opened.sink.stored.size, opened.sink.stored.sha256) == (opened.sink.size, opened.sink.sha256)
    assert opened.uploads[0].end == "finished"


@pytest.mark.parametrize("end", [b"!", b"QQ==QUJD", b"=", b"\xff"])
def test_what_was_begun_is_given_up_on_an_error(end: bytes) -> None:
    opened = Opened([base64.b64encode(b"x" * 300), end, b"QUJD" * 1000])

    assert opened.sink.error == NOT_BASE64
    assert opened.sink.status == 422
    assert [upload.end for upload in opened.uploads] == ["aborted"]
    assert len(opened.uploads[0].data) <= 301


def test_content_over_the_limit_is_refused_with_413(small_limit: int) -> None:
    assert Opened([base64.b64encode(b"x" * small_limit)]).content == b"x" * small_limit

    opened = Opened([base64.b64encode(b"x" * (small_limit - 10)), base64.b64encode(b"x" * 12), b"no base64 at all"])

    assert opened.sink.error == "must not be longer than 1000 bytes decoded"
    assert opened.sink.status == 413
    assert [upload.end for upload in opened.uploads] == ["aborted"]


def test_nothing_of_a_refused_content_is_kept() -> None:
    opened = Opened([b"QUJD" * 10, b"!"], inline=10**6)

    assert opened.sink.spooled is None
    assert not opened.sink._kept


def test_the_beginning_of_a_text_is_remembered() -> None:
    assert Opened([b"no ", b"base64 " * 100]).sink.head == (b"no " + b"base64 " * 100)[:300]


MARKER = "\0lifted:0123:0"
ENTRY: dict[str, object] = {"caseAttachment_Key": 1, "case_Key": 2}


def test_an_item_takes_its_content_from_the_sink() -> None:
    small, large = (Opened([base64.b64encode(b"x" * size)]) for size in (INLINE, INLINE + 1))

    inline = parse_case_attachment({**ENTRY, "attachment": MARKER}, lifted={MARKER: small.sink})
    stored = parse_case_attachment({**ENTRY, "attachment": MARKER}, lifted={MARKER: large.sink})

    assert (inline.content, inline.stored, inline.payload["content"]) == (small.sink.spooled, None, "set")
    assert small.content == b"x" * INLINE
    assert (stored.content, stored.stored, stored.payload["content"]) == (None, large.sink.stored, "set")


def test_an_item_with_a_bad_content_is_refused_as_its_sink_says() -> None:
    bad = Opened([b"!"]).sink

    verdict = parse_case_attachment({**ENTRY, "attachment": MARKER}, lifted={MARKER: bad}).verdict

    assert verdict is not None
    assert (verdict.status, verdict.body) == (422, f"attachment {NOT_BASE64}")


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("comment", "must not be longer than 2048 characters"),
        ("attachment_File", "must not be longer than 255 characters"),
        ("caseAttachment_Key", "must be an integer"),
        ("case_Key", "must be an integer"),
        ("entry_Date", "must be a date-time such as 2026-11-21T10:00:00Z"),
    ],
)
def test_a_long_string_in_any_other_field_is_refused_as_ever(field: str, message: str) -> None:
    sink = Opened([b"\0 and so on " + b"\xed\xa0\x80" * 200]).sink

    item = parse_case_attachment({**ENTRY, field: MARKER}, lifted={MARKER: sink})

    assert item.verdict is not None
    assert (item.verdict.status, item.verdict.body) == (422, f"{field} {message}")
    assert str(item.payload[field]).startswith("\ufffd and so on \ufffd")


@pytest.mark.parametrize("at", range(4))
@pytest.mark.parametrize("wrong", [b"\n", b" \t", b"\xc3", b"\xff", b"\\x"])
def test_what_is_no_json_is_found_wherever_the_pieces_end(wrong: bytes, at: int) -> None:
    before = b'{"attachment":"' + b"QUJD" * 5000 + b"QUJD"[:at]
    text = before + wrong + b"QUJD" * 10 + b'"}'
    for place in range(len(before) - 5, len(before) + 5):
        with pytest.raises(NotJsonError):
            lifted(cut(text, [place]))


def lifted(pieces: Iterable[bytes]) -> None:
    lifter = Lifter(lambda: ContentSink(Kept, Spool(), INLINE))
    for piece in pieces:
        lifter.feed(piece)
