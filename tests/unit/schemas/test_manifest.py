"""Manifests: what a row says, and that a bad one is never the end."""

import gzip
import io
import itertools
from pathlib import Path

import pytest

from schemas.manifest.local_files import InvalidFileError, below, path_of, with_file_name
from schemas.manifest.reader import ManifestError, Row, read_header, rows, uncompressed

HEAD = b"caseAttachment_Key,case_Key,comment\n"


def read(data: bytes, **mapping: str) -> list[Row]:
    stream = uncompressed(io.BytesIO(data))
    return list(rows(stream, read_header(stream, mapping)))


def said(found: list[Row]) -> list[object]:
    return [row.flaw or dict(row.fields) for row in found]


def test_cells_of_integer_columns_are_integers_and_empty_cells_are_not_given() -> None:
    assert said(read(HEAD + b"17,4711,007\n18,x,\n")) == [
        {"caseAttachment_Key": 17, "case_Key": 4711, "comment": "007"},
        {"caseAttachment_Key": 18, "case_Key": "x"},
    ]


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
def test_bom_blank_lines_and_quoted_newlines_keep_the_line_numbers(newline: bytes) -> None:
    lines = [HEAD.strip(), b'1,1,"two', b'lines"', b"", b"2,1,last"]
    found = read(b"\xef\xbb\xbf" + newline.join(lines))
    assert [(row.line, row.fields["caseAttachment_Key"]) for row in found] == [(2, 1), (5, 2)]
    assert found[0].fields["comment"].split() == ["two", "lines"]


def test_too_many_and_too_few_columns_make_that_row_invalid() -> None:
    assert said(read(HEAD + b"1,1\n2,1,c,d\n3,1,fine\n"))[:2] == [
        "has 2 columns, and the header has 3",
        "has 4 columns, and the header has 3",
    ]


def test_bad_utf8_makes_that_row_invalid_and_its_bytes_are_kept() -> None:
    bad, good = read(HEAD + b"1,1,\xff\n2,1,caf\xc3\xa9\n")
    assert bad.flaw == "is not UTF-8: invalid start byte, 0xff at byte 4"
    assert bad.raw == b"1,1,\xff\n"
    assert good.fields["comment"] == "café"


def test_a_quote_that_is_never_closed_spoils_its_own_line_only() -> None:
    body = b"".join(b"%d,1,c\n" % n for n in range(2, 5000))
    found = read(HEAD + b'1,1,"open\n' + body)
    assert len(found) == 4999
    assert found[0].flaw
    assert found[0].line == 2
    assert not any(row.flaw for row in found[1:])
    assert [row.line for row in found] == list(range(2, 5001))


def test_a_quote_opened_by_mistake_reaches_to_the_next_one_and_no_further() -> None:
    found = read(HEAD + b'1,"open,c\n2,1,c\n3,1,5"\n4,1,c\n')
    assert [(row.line, row.flaw) for row in found] == [(2, "has 2 columns, and the header has 3"), (5, None)]


def test_a_line_without_end_is_not_held_whole() -> None:
    found = read(HEAD + b"1,1," + b"x" * 5_000_000 + b"\n2,1,c\n")
    assert len(found[0].raw) <= 2**20
    assert found[0].flaw
    assert found[1].fields["caseAttachment_Key"] == 2


def test_each_bad_line_of_ndjson_is_invalid() -> None:
    found = read(b'{"a": 1}\n\n[2]\n{"a": NaN}\n{"a"\n\xff\n{"a": 3}\n')
    assert [row.line for row in found] == [1, 3, 4, 5, 6, 7]
    assert [bool(row.flaw) for row in found] == [False, True, True, True, True, False]


def test_columns_and_members_are_renamed() -> None:
    assert said(read(b"id,case_Key\n5,6\n", id="caseAttachment_Key")) == [{"caseAttachment_Key": 5, "case_Key": 6}]
    assert said(read(b'{"id": 5}\n', id="caseAttachment_Key")) == [{"caseAttachment_Key": 5}]


def test_gzip_is_read_like_the_text_in_it() -> None:
    data = HEAD + b"1,1,c\n"
    assert said(read(gzip.compress(data))) == said(read(data))


def test_a_damaged_gzip_says_where() -> None:
    data = gzip.compress(HEAD + b"".join(b"%d,1,%d\n" % (n, n * n) for n in range(100_000)))
    with pytest.raises(ManifestError, match="damaged behind line"):
        read(data[: len(data) // 2])


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "empty"),
        (b"\n \n", "empty"),
        (b"a,b,a\n1,2,3\n", "twice"),
        (b'[{"a": 1}]', "NDJSON"),
        (b"\xff\xfea\x00", "UTF-8"),
    ],
)
def test_what_is_no_manifest_is_refused_with_the_reason(data: bytes, why: str) -> None:
    with pytest.raises(ManifestError, match=why):
        read(data)


def test_reading_can_go_on_behind_any_row() -> None:
    data = HEAD + b'1,1,"a\nb"\n2,1,c\n\n3,1,d\n'
    stream = io.BytesIO(data)
    header = read_header(stream, {})
    whole = list(rows(stream, header))
    for before, after in itertools.pairwise(whole):
        last_line = before.line + before.raw.count(b"\n") - 1
        assert next(rows(stream, header, before.end, last_line)) == after


def test_a_file_is_taken_below_the_folder_only_after_links(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "a.txt").write_text("a")
    (tmp_path / "secret").write_text("s")
    (folder / "out").symlink_to(tmp_path / "secret")
    (folder / "in").symlink_to(folder / "sub" / "a.txt")
    (folder / "loop").symlink_to(folder / "loop")
    assert below(folder, "sub/a.txt") == below(folder, "sub\\a.txt") == below(folder, "in")
    for path in ("../secret", "out", "/etc/passwd", "loop", "sub", "none", "a\0b", "sub/a.txt/b", "x" * 300):
        with pytest.raises(InvalidFileError):
            below(folder, path)


def test_the_file_of_a_row_and_its_name() -> None:
    assert path_of({"attachment_Path": "", "filename": "f"}, "files") == "f"
    assert path_of({"attachment_Path": 5}, "files") is None
    deletes = {"action": "Delete", "attachment_Path": "f"}
    assert path_of(deletes, "files") is None
    assert path_of(deletes, "case-attachments") == "f", "of case attachments, action is a column like any other"
    assert with_file_name({}, "a\\b/c.txt") == {"attachment_File": "c.txt"}
    assert with_file_name({"attachment_File": "own"}, "c.txt") == {"attachment_File": "own"}
