"""The lifter: long strings leave the text, whatever it looks like and wherever it is cut."""

import itertools
import json
import tracemalloc
from collections.abc import Callable, Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api_stub.request.json_lifter import LONG, LONG_CONTENT, Lifted, Lifter, NotJsonError, SkeletonTooLargeError


class Kept:
    """A sink that keeps the text."""

    def __init__(self) -> None:
        self.text = b""
        self.closed = 0

    def write(self, text: bytes) -> None:
        assert not self.closed
        self.text += text

    def write_plain(self, raw: memoryview) -> bool:
        assert not self.closed
        plain = bytes(raw).isalnum()
        self.text += bytes(raw) if plain else b""
        return plain

    def close(self) -> None:
        self.closed += 1


class Counted:
    """A sink that keeps nothing but the length and the largest piece."""

    def __init__(self) -> None:
        self.size = self.largest = 0

    def write(self, text: bytes) -> None:
        self.size += len(text)
        self.largest = max(self.largest, len(text))

    def write_plain(self, _: memoryview) -> bool:
        return False

    def close(self) -> None:
        pass


def lift(pieces: Iterable[bytes]) -> Lifted[Kept]:
    lifter = Lifter(Kept)
    for piece in pieces:
        lifter.feed(piece)
    return lifter.finish()


def whole(lifted: Lifted[Kept]) -> object:
    """What the skeleton says, each marker replaced by the text it stands for."""
    assert all(sink.closed == 1 for sink in lifted.sinks.values())

    def put_back(value: object) -> object:
        if isinstance(value, str):
            sink = lifted.sinks.get(value)
            return value if sink is None else sink.text.decode("utf-8", "surrogatepass")
        if isinstance(value, list):
            return [put_back(each) for each in value]
        if isinstance(value, dict):
            return {put_back(name): put_back(each) for name, each in value.items()}
        return value

    return put_back(json.loads(lifted.skeleton))


def cut(text: bytes, places: Iterable[int]) -> Iterator[bytes]:
    edges = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    return (text[start:end] for start, end in itertools.pairwise(edges))


def long_text(unit: str) -> str:
    return (unit * (LONG // len(unit) + 1))[: LONG + 1]


# Everything that is hard at a cut: quotes, backslashes, pairs of surrogates, bytes beyond ASCII.
texts = st.text(st.sampled_from('ab+/=\\"\n\0\u00e9\u20ac\U0001f600'), max_size=12)
strings = texts | texts.filter(len).map(long_text) | texts.filter(len).map(lambda unit: long_text(unit)[:LONG_CONTENT])
names = st.sampled_from(["attachment", "data"]) | strings
documents = st.recursive(
    strings | st.none() | st.integers() | st.booleans(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
places = st.lists(st.integers(0, 10**7), max_size=12)


def dotnet(document: object) -> str:
    """Spell a document as System.Text.Json does."""
    return json.dumps(document).replace("+", "\\u002B").replace("/", "\\/")


def utf8(document: object) -> str:
    return json.dumps(document, ensure_ascii=False)


@given(documents, places, st.sampled_from([json.dumps, utf8, dotnet]))
def test_a_text_with_its_strings_put_back_says_what_it_said(
    document: object, cuts: list[int], spell: Callable[[object], str]
) -> None:
    assert whole(lift(cut(spell(document).encode(), cuts))) == document


@pytest.mark.parametrize(
    "spelled",
    [
        rb"\ud83d\ude00",
        rb"\ud83d",
        rb"\ude00",
        rb"\ud83d\ud83d\ude00",
        rb"\ud83d\n",
        rb"\\ud83d",
        rb"\\\u002B",
        rb"\"\\",
    ],
)
def test_an_escape_may_end_in_any_piece(spelled: bytes) -> None:
    raw = b'["' + b"A" * LONG + spelled + b'x", "' + b"B" * LONG + spelled + b'"]'

    for start in (LONG - 2, 2 * LONG):
        for place in range(start, start + 40):
            assert whole(lift(cut(raw, [place, place + 1]))) == json.loads(raw)


def test_a_text_may_come_in_crumbs() -> None:
    raw = json.dumps(["short", long_text("\U0001f600é\\"), {"k": long_text('"')}, 17]).encode()

    assert whole(lift(raw[i : i + 11] for i in range(0, len(raw), 11))) == json.loads(raw)


def test_only_strings_longer_than_the_bound_are_lifted() -> None:
    raw = json.dumps(["A" * LONG, "\U0001f600" * 2048, "A" * (LONG + 1)]).encode()

    lifted = lift([raw])

    assert [sink.text for sink in lifted.sinks.values()] == [b"A" * (LONG + 1)]
    assert json.loads(lifted.skeleton)[:2] == ["A" * LONG, "\U0001f600" * 2048]


@pytest.mark.parametrize(
    "spell", ['{"attachment":"%s"}', '{"attachment" :\n "%s"}', '{"contentsbase64":{"data": "%s"}}']
)
def test_the_value_of_a_contents_name_is_lifted_much_earlier_wherever_a_piece_ends(spell: str) -> None:
    for size, lifted in ((LONG_CONTENT - 1, 0), (LONG_CONTENT, 1), (5 * LONG_CONTENT, 1)):
        raw = (spell % ("A" * size)).encode()
        for place in range(40):
            found = lift(cut(raw, [place]))
            assert len(found.sinks) == lifted
            assert whole(found) == json.loads(raw)


def test_many_contents_of_a_few_kilobytes_leave_a_small_skeleton() -> None:
    entry = b'{"caseAttachment_Key": 1, "attachment": "' + b"QUJD" * 5000 + b'"},'
    lifter = Lifter(Counted)
    for _ in range(1000):
        lifter.feed(entry)

    assert len(lifter.finish().skeleton) < 200_000


def test_a_text_cannot_bring_a_marker_of_its_own() -> None:
    (first,) = lift([b'["' + b"A" * 30_000 + b'"]']).sinks
    lifted = lift([json.dumps([first, "A" * 30_000]).encode()])

    assert first not in lifted.sinks
    assert whole(lifted) == [first, "A" * 30_000]


LONG_A = b"A" * (LONG + 100)


@pytest.mark.parametrize(
    "broken",
    [
        b'["' + LONG_A,
        b'["' + LONG_A + b"\\",
        b'["' + LONG_A + rb"\ud83d",
        b'["' + LONG_A + rb'\u12"]',
        b'["' + LONG_A + rb'\ud83d\u1"]',
        b'["' + LONG_A + b'"',
        b'["' + LONG_A + b'"" ]',
        b'["' + LONG_A + b'\\x"]',
        b'["' + LONG_A + b'\\u12G4 and so on and on"]',
        b'["' + LONG_A + b'\n"]',
        b'["' + LONG_A + b'\xff"]',
        b'["' + LONG_A + b'\xe2\x82"]',
        b'["' + LONG_A + b'\xed\xa0\x80"]',
        b'[\\"' + LONG_A + b'"]',
        b"[" + LONG_A + b"]",
        b'["' + b"A" * 100,
        b'["\\',
        b'"\\"',
        b"",
    ],
)
def test_what_is_no_json_does_not_become_json(broken: bytes) -> None:
    for step in (1000, len(broken) + 1):
        with pytest.raises(ValueError):  # noqa: PT011  JSONDecodeError, UnicodeDecodeError, NotJsonError: all are
            json.loads(lift(broken[i : i + step] for i in range(0, len(broken), step)).skeleton.decode())


@given(
    st.lists(st.sampled_from([b'"', b"\\", b"\\u", b"d83d", b"[", b",", LONG_A, b"\xe2", b"1"]), max_size=12), places
)
def test_nothing_that_json_refuses_is_taken(parts: list[bytes], cuts: list[int]) -> None:
    raw = b"".join(parts)
    try:
        said = json.loads(raw.decode())
    except ValueError:
        with pytest.raises(ValueError):  # noqa: PT011
            json.loads(lift(cut(raw, cuts)).skeleton.decode())
    else:
        assert whole(lift(cut(raw, cuts))) == said


def test_a_bad_escape_is_told_at_once() -> None:
    with pytest.raises(NotJsonError):
        lift([b'["' + LONG_A + b"\\x" + LONG_A])


@pytest.mark.parametrize("unit", [b'"",', b"[", b"1", b'"' + b"A" * 1000 + b'",'])
def test_the_skeleton_is_bounded(unit: bytes) -> None:
    lifter = Lifter(Kept, max_skeleton=100_000)
    lifter.feed(unit * (90_000 // len(unit)))

    with pytest.raises(SkeletonTooLargeError):
        lifter.feed(unit * (20_000 // len(unit)))


def stream(unit: bytes, total: int, step: int = 2**16) -> Iterator[bytes]:
    piece = unit * (step // len(unit))
    yield b'["'
    for _ in range(total // len(piece)):
        yield piece
    yield b'"]'


@pytest.mark.parametrize(
    ("unit", "total"),
    [
        (b"QUJD", 100 * 2**20),
        (rb"QUJD\u002BUJD", 10 * 2**20),
        (b"QUJD" * 19 + rb"\r\n", 10 * 2**20),
        (rb"\"", 10 * 2**20),
        (rb"\ud83d\ude00", 10 * 2**20),
    ],
)
def test_memory_stays_flat_however_long_a_string_is(unit: bytes, total: int) -> None:
    lifter = Lifter(Counted)
    tracemalloc.start()
    try:
        for piece in stream(unit, total):
            lifter.feed(piece)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    (sink,) = lifter.finish().sinks.values()
    assert sink.size > 2**20
    assert sink.largest <= 2**16 + 12
    assert peak < 2**20


@pytest.mark.parametrize("unit", [b'"",', b"[", rb'"\"",', b'"', b"\\n", b"\\", b'"' + b"\\n" * 1000])
def test_no_byte_is_held_back_for_long(unit: bytes) -> None:
    """What is looked at again is what was held back: at most the beginning of one string."""
    lifter = Lifter(Counted)
    raw = b'"' + unit * (100_000 // len(unit))
    for i in range(0, len(raw), 1000):
        lifter.feed(raw[i : i + 1000])
        assert len(lifter._held) <= LONG + 2
