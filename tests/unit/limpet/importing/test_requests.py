"""Parts of an import: small enough for one request, and for their contents to go up in time."""

import io
import json

from limpet.importing.sending import MAX_BODY_BYTES, PART_LIMITS, bodies, line_of
from schemas.manifest.parts import parts, row_members
from schemas.manifest.reader import Row, read_header, rows

MB = 10**6


def read(data: bytes) -> list[Row]:
    stream = io.BytesIO(data)
    return list(rows(stream, read_header(stream, {})))


def test_a_part_has_few_bytes_of_files_or_one_large_file() -> None:
    sizes = [100 * MB, None, 100 * MB, 100 * MB, 5000 * MB, 1, None]
    manifest = read(b"case_Key\n" + b"1\n" * len(sizes))
    found = list(parts(manifest, 10, PART_LIMITS, lambda row: sizes[row.line - 2]))
    assert [(part.first, len(part.rows)) for part in found] == [(10, 3), (13, 1), (14, 1), (15, 2)]


def test_no_request_is_larger_than_the_api_takes_however_the_rows_are_spelled() -> None:
    # Each of these bytes takes six in JSON.
    manifest = read(b"comment\n" + (b"\x01" * 800 + b"\n") * 5300)
    lines = [
        line_of(row_members(row, "case-attachments")) for part in parts(manifest, 0, PART_LIMITS) for row in part.rows
    ]
    sent = list(bodies(lines))
    assert [line for body in sent for line in body] == lines
    assert all(sum(map(len, body)) <= MAX_BODY_BYTES for body in sent)
    assert len(sent) == 4


def test_long_names_make_small_parts() -> None:
    manifest = read(b"n" * 100_000 + b"\n" + b"1\n" * 100)
    assert max(len(part.rows) for part in parts(manifest, 0, PART_LIMITS)) == 42


def test_a_row_too_large_for_a_request_is_invalid_with_its_line() -> None:
    line = line_of({"line": 7, "item": {"comment": "x" * MAX_BODY_BYTES}})
    sent = json.loads(line)
    assert (sent["line"], sent["flaw"]["status"], "item" in sent) == (7, 413, False)
    assert str(MAX_BODY_BYTES) in sent["flaw"]["message"]


def test_a_row_of_many_long_lines_keeps_its_own_reason() -> None:
    columns = 200
    names = ",".join(f"c{n}" for n in range(columns)).encode()
    (row,) = read(names + b"\n" + b",".join(b'"' + b"x" * 100_000 + b'\n"' for _ in range(columns)))
    sent = json.loads(line_of(row_members(row, "case-attachments")))
    assert sent == {"line": 2, "flaw": {"message": "is longer than 1048576 bytes", "status": 400}}
