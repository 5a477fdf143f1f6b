"""Rows as the servers take them: a bad one keeps its line and says what is wrong."""

import io
import json

import pytest

from limpet.importing.sending import line_of
from schemas.imports import ImportKind, ImportRow
from schemas.manifest.parts import row_members
from schemas.manifest.reader import read_header, rows
from worker.imports.rows import ImportOptions, parse_row, read_rows

ITEM = {"caseAttachment_Key": 5, "case_Key": 1, "table": "claims", "item": "1", "filename": "f"}


def said(line: bytes, kind: ImportKind = "case-attachments") -> tuple[object, int, str]:
    (row,) = read_rows([line])
    item = parse_row(row, ImportOptions("demo", kind))
    assert item.verdict is not None
    return item.payload["line"], item.verdict.status, item.verdict.body


def sent(manifest: bytes) -> bytes:
    """The last row of a manifest as the command sends it."""
    stream = io.BytesIO(manifest)
    *_, row = rows(stream, read_header(stream, {}))
    return line_of(row_members(row, "case-attachments"))


def test_bad_utf8_in_csv_is_that_rows_outcome_with_its_line() -> None:
    line = sent(b"caseAttachment_Key,case_Key,comment\n1,1,fine\n2,1,\xff\n")
    assert said(line) == (3, 400, "is not UTF-8: invalid start byte, 0xff at byte 4")


@pytest.mark.parametrize("kind", ["case-attachments", "files"])
@pytest.mark.parametrize("half", ["\\ud800", "\\udfff", "\\udfff\\ud800"])
def test_a_lone_surrogate_is_that_rows_outcome_with_its_line_and_field(kind: ImportKind, half: str) -> None:
    field = "attachment_File" if kind == "case-attachments" else "title"
    text = json.dumps({**ITEM, field: "HALF"}).replace("HALF", half)
    line, status, body = said(sent(f"{json.dumps(ITEM)}\n{text}\n".encode()), kind)
    assert (line, status, body.split()[0]) == (2, 422, field)


def test_a_row_that_would_add_a_file_by_its_id_alone_is_refused() -> None:
    (row,) = read_rows([b'{"line": 9, "item": {"table": "claims", "item": "1", "id": 5}}'])
    assert parse_row(row, ImportOptions("demo", "files")).verdict is None
    end = parse_row(row, ImportOptions("demo", "files", "skip")).verdict
    assert end is not None
    assert end.body == "filename is required to add a file"


def test_a_row_of_a_wrong_form_keeps_its_line() -> None:
    assert said(b'{"line": 9, "item": {}, "content": "none"}')[:2] == (9, 400)


def test_what_a_sender_says_is_wrong_is_kept_as_text_that_can_be_kept() -> None:
    assert said(b'{"line": 9, "flaw": {"message": "half \\ud800, \\u0000"}}') == (9, 422, "half \ufffd, \ufffd")
    assert said(b'{"line": 9, "flaw": {"message": "no\\u0000"}}') == (9, 422, "no\ufffd")


@pytest.mark.parametrize("line", [b"", b"junk", b"[]", b"5", b'{"line": -1}', b"[" * 100_000])
def test_what_is_no_row_has_no_line(line: bytes) -> None:
    assert said(line)[:2] == (0, 400)


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("case-attachments", {"case_key": 9, "attachment_file": "f", "entry_user": "who"}),
        ("files", {"mode": "DELETE", "file_name": "other", "access_type": "none"}),
    ],
)
def test_fields_go_by_their_documented_names_only(kind: ImportKind, more: dict[str, object]) -> None:
    plain, other = (
        parse_row(ImportRow(line=1, item=fields), ImportOptions("demo", kind)) for fields in (ITEM, ITEM | more)
    )
    assert plain == other
