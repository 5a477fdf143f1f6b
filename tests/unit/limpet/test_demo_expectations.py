"""The demo's own judgement: it says so when anything is not as it should be."""

import struct
import zlib
from typing import Any

import pytest

from limpet.demo.expectations import UnexpectedError, expect
from limpet.demo.samples import claims, follow_up, pdf, png
from limpet.demo.tour import check
from limpet.http.client import BatchAnswer, Report


def test_what_is_as_expected_passes() -> None:
    expect("the number", 12, 12)


def test_what_is_not_as_expected_ends_the_demo_with_a_sentence_and_a_failure() -> None:
    with pytest.raises(UnexpectedError, match="not as it should be: the number: 11 instead of 12") as ended:
        expect("the number", 11, 12)
    assert ended.value.exit_code != 0


def test_a_complete_and_a_partial_batch_pass() -> None:
    check(answer("complete", (201, "created"), (201, "created")), ["201 created"] * 2)
    check(answer("partial", (201, "created"), (422, "invalid")), ["201 created", "422 invalid"])


@pytest.mark.parametrize(
    ("wrong", "about"),
    [
        ({"status": 202}, "the answer's status"),
        ({"state": "running"}, "the batch's state"),
        ({"outcome": "partial"}, "Batch-Outcome"),
        ({"position": 1}, "the positions"),
        ({"errors": [{"field": "x", "message": "y"}]}, "which items say what is wrong"),
        ({"ends": ((200, "updated"),)}, "how the items ended"),
    ],
)
def test_whatever_is_wrong_with_an_answer_is_found(wrong: dict[str, Any], about: str) -> None:
    facts = {"outcome": "complete", "ends": ((201, "created"),)} | wrong
    with pytest.raises(UnexpectedError, match=about):
        check(answer(facts.pop("outcome"), *facts.pop("ends"), **facts), ["201 created"])


def test_the_pictures_are_png_files_of_their_size() -> None:
    file = png(7, 5)
    assert file.startswith(b"\x89PNG\r\n\x1a\n")
    chunks, place = {}, 8
    while place < len(file):
        (length,) = struct.unpack_from(">I", file, place)
        named = file[place + 4 : place + 8 + length]
        assert struct.unpack_from(">I", file, place + 8 + length) == (zlib.crc32(named),)
        chunks[named[:4]] = named[4:]
        place += 12 + length
    assert list(chunks) == [b"IHDR", b"IDAT", b"IEND"]
    assert struct.unpack_from(">II", chunks[b"IHDR"]) == (7, 5)
    assert len(zlib.decompress(chunks[b"IDAT"])) == 5 * (1 + 3 * 7)


def test_the_papers_are_pdf_files_whose_table_leads_to_their_objects() -> None:
    file = pdf("Title", ["one line", "another"])
    assert file.startswith(b"%PDF-1.4\n")
    start = int(file.rsplit(b"startxref\n", 1)[1].split()[0])
    table = file[start:].splitlines()
    assert table[:2] == [b"xref", b"0 6"]
    places = [int(line.split()[0]) for line in table[3:8]]
    assert [file[place:].split(b"\n", 1)[0] for place in places] == [b"%d 0 obj" % n for n in range(1, 6)]
    page = file.split(b"stream\n", 1)[1].split(b"\nendstream", 1)[0]
    assert b"/Length %d " % len(page) in file


def test_every_sample_has_a_key_of_its_own() -> None:
    keys = [item.case_attachment_key for item in [*(sample.item() for sample in claims()), *follow_up()]]
    assert len(set(keys)) == len(keys) == 15


def answer(outcome: str, *ends: tuple[int, str], **other: Any) -> BatchAnswer:
    """What a batch whose items ended so is answered with; ``other`` spoils it."""
    bad = [{"field": "attachment", "message": "must be base64"}]
    statuses = [
        {
            "id": [{"key": "caseAttachment_Key", "value": 17}],
            "status": status,
            "body": "as it says",
            "position": other.get("position", position),
            "outcome": end,
            "retry": "never",
            "errors": other.get("errors", bad if status == 422 else None),
        }
        for position, (status, end) in enumerate(ends)
    ]
    ident = "0190b6c4-0000-7000-8000-000000000000"
    state = other.get("state", "finished")
    batch = {"id": ident, "state": state, "total": len(ends), "counts": {}, "href": f"/batches/{ident}"}
    whole = {"data": statuses, "error": None, "debug": {"activityID": ident}, "batch": batch}
    return BatchAnswer(other.get("status", 207), outcome, Report.model_validate(whole))
