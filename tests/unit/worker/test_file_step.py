"""What one file action does to the files of one item, without servers."""

import itertools
import unicodedata
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.kinds import FILE_DELETE, FILE_DELETE_ALL, FILE_PUT
from worker.kinds.file.rows import Collection, File
from worker.kinds.file.step import is_about, step
from worker.ledger.open_items import OpenItem

PAIR = Collection("Incidents", "7")
OLD, NEW = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 2, tzinfo=UTC)


def file(number: int, title: str = "t", name: str = "n.txt", **facts: Any) -> File:
    known = {"blob_id": 5, "access_type": "ATTACHACCESS-RESTRICTED", "show_as_image": True, **facts}
    return File(
        number, PAIR.key, PAIR.table, PAIR.item, title, name, modified_at=OLD, acceptance=1, position=0, **known
    )


def action(mode: str = "NEW-UPDATE", kind: str | None = None, blob_id: int | None = None, **fields: Any) -> OpenItem:
    payload = {"table": PAIR.table, "item": PAIR.item, "mode": mode, "contents": blob_id is not None, **fields}
    return OpenItem(
        batch_id=uuid.UUID(int=1),
        position=3,
        acceptance=9,
        accepted_at=NEW,
        kind=kind or (FILE_DELETE if mode == "DELETE" else FILE_PUT),
        key=PAIR.key,
        payload=payload,
        blob_id=blob_id,
        content_size=None,
        deaths=0,
        caller="eve",
        cancelled=False,
    )


def ids() -> Iterator[int]:
    return itertools.count(100)


def files(*some: File) -> dict[int, File]:
    return {f.id: f for f in some}


def test_an_added_file_has_the_defaults() -> None:
    changes, verdict = step({}, action(file_name="a.txt", blob_id=8), ids())
    assert (verdict.outcome, verdict.status, verdict.record_key) == ("created", 201, 100)
    made = changes[100]
    assert made is not None
    assert (made.title, made.file_name, made.blob_id) == ("a.txt", "a.txt", 8)
    assert (made.access_type, made.show_as_image) == ("ATTACHACCESS-DEFAULT", False)
    assert (made.modified_at, made.acceptance, made.position) == (NEW, 9, 3)


def test_an_update_changes_what_is_given_and_keeps_the_rest() -> None:
    changes, verdict = step(files(file(1)), action("UPDATE-ONLY", id=1, title="new", show_as_image=False), ids())
    assert (verdict.outcome, verdict.record_key) == ("updated", 1)
    after = changes[1]
    assert after is not None
    assert (after.title, after.file_name, after.show_as_image) == ("new", "n.txt", False)
    assert (after.blob_id, after.access_type, after.modified_at) == (5, "ATTACHACCESS-RESTRICTED", NEW)


@pytest.mark.parametrize("mode", ["UPDATE-ONLY", "NEW-UPDATE", "DELETE"])
def test_an_unknown_id_is_an_error_even_if_the_name_is_there(mode: str) -> None:
    changes, verdict = step(files(file(1)), action(mode, id=2, file_name="n.txt", blob_id=8), ids())
    assert (changes, verdict.outcome, verdict.status) == ({}, "failed", 404)
    assert verdict.body == "Could not read specified record by ID"


def test_an_add_ignores_the_id() -> None:
    changes, verdict = step(files(file(1)), action("NEW-ONLY", id=1, file_name="other.txt", blob_id=8), ids())
    assert (list(changes), verdict.outcome) == ([100], "created")


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"title": "t", "file_name": "n.txt"}, True),
        ({"title": "t"}, True),
        ({"file_name": "n.txt"}, True),
        ({"title": "t", "file_name": "other"}, False),
        ({"title": "other", "file_name": "n.txt"}, False),
        ({"title": "T"}, False),
    ],
)
def test_by_name_every_given_name_must_match(fields: Any, found: bool) -> None:  # noqa: FBT001  a parameter
    _, verdict = step(files(file(1)), action("DELETE", **fields), ids())
    assert verdict.outcome == ("deleted" if found else "skipped")


def test_names_are_compared_in_nfc_and_kept_as_sent() -> None:
    decomposed = unicodedata.normalize("NFD", "é.txt")
    changes, verdict = step(files(file(1, name="é.txt")), action("UPDATE-ONLY", file_name=decomposed), ids())
    assert verdict.outcome == "updated"
    assert changes[1] is not None
    assert changes[1].file_name == decomposed


@pytest.mark.parametrize("mode", ["NEW-ONLY", "UPDATE-ONLY", "NEW-UPDATE", "DELETE"])
def test_more_than_one_match_is_an_error_that_names_the_ids(mode: str) -> None:
    changes, verdict = step(files(file(1, "a"), file(2, "b")), action(mode, file_name="n.txt", blob_id=8), ids())
    assert (changes, verdict.outcome, verdict.status) == ({}, "failed", 409)
    assert "1, 2" in verdict.body


@pytest.mark.parametrize(
    ("fields", "lacking"), [({"title": "x", "blob_id": 8}, "filename"), ({"file_name": "x"}, "contentsbase64")]
)
def test_an_add_that_lacks_something_names_it(fields: dict[str, Any], lacking: str) -> None:
    for mode in ("NEW-ONLY", "NEW-UPDATE"):
        changes, verdict = step({}, action(mode, **fields), ids())
        assert (changes, verdict.outcome, verdict.status) == ({}, "invalid", 422)
        assert verdict.errors is not None
        assert verdict.errors[0]["field"] == lacking


def test_delete_all_takes_every_file_and_skips_an_empty_item() -> None:
    changes, verdict = step(files(file(1), file(2)), action(kind=FILE_DELETE_ALL), ids())
    assert (changes, verdict.outcome) == ({1: None, 2: None}, "deleted")
    changes, verdict = step({}, action(kind=FILE_DELETE_ALL), ids())
    assert (changes, verdict.outcome) == ({}, "skipped")


def test_contents_that_are_not_stored_are_a_bug_and_no_metadata_update() -> None:
    item = action("UPDATE-ONLY", id=1)
    item.payload["contents"] = True
    with pytest.raises(RuntimeError):
        step(files(file(1)), item, ids())


@pytest.mark.parametrize(
    ("deletion", "sent", "may_be"),
    [
        ({}, {"file_name": "a"}, True),
        ({"id": 4}, {"id": 4}, True),
        ({"id": 4}, {"id": 5}, False),
        ({"id": 4}, {"file_name": "a"}, True),
        ({"file_name": "a"}, {"file_name": "a"}, True),
        ({"file_name": "b"}, {"file_name": "a"}, False),
        ({"title": "b"}, {"file_name": "a"}, True),
    ],
)
def test_a_retry_is_only_overtaken_by_deletions_that_may_be_about_it(
    deletion: dict[str, Any],
    sent: dict[str, Any],
    may_be: bool,  # noqa: FBT001  a parameter
) -> None:
    whole = {"table": PAIR.table, "item": PAIR.item, "mode": "DELETE", **deletion}
    assert is_about(whole, action(**sent)) is may_be


def test_a_collection_is_one_whatever_its_case_and_its_key_is_negative() -> None:
    one, same = Collection("Straße", "Ab"), Collection("STRASSE", "aB")
    assert (one.folded, one.key) == (same.folded, same.key)
    others = [Collection("Strasse", "Abc"), Collection("StrasseA", "b"), Collection("", "strasseab")]
    assert len({one.key, *(pair.key for pair in others)}) == 4
    assert all(-(2**63) <= pair.key < 0 for pair in (one, *others))


def test_an_update_says_which_action_of_its_request_it_replaced() -> None:
    first, _ = step({}, action(file_name="a.png", blob_id=8), ids())
    there = {number: made for number, made in first.items() if made is not None}
    again: dict[str, Any] = {"file_name": "a.png", "blob_id": 9}
    assert step(there, action(**again), ids())[1].body == "Updated (replaced position 3 of this request)"
    behind_delete_all = step(there, action(**again, offset=1), ids())[1]
    assert behind_delete_all.body == "Updated (replaced position 2 of this request)", "deleteAll is not in the list"


@pytest.mark.parametrize("fields", [{"id": 100}, {"line": 4}, {"retry_of": [8, 0]}])
def test_an_update_by_id_of_a_row_or_of_a_retry_names_no_position(fields: dict[str, Any]) -> None:
    there = {number: made for number, made in step({}, action(file_name="a", blob_id=8), ids())[0].items() if made}
    assert step(there, action(file_name="a", **fields), ids())[1].body == "Updated"


def test_an_update_of_an_older_file_names_no_position() -> None:
    assert step(files(file(1)), action(file_name="n.txt"), ids())[1].body == "Updated"
