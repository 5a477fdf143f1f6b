from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from schemas.kinds import UPSERT
from worker.kinds.case_attachment.parse import CaseAttachmentOptions, parse
from worker.kinds.case_attachment.rows import Record
from worker.kinds.case_attachment.step import step
from worker.ledger.open_items import OpenItem

LONG_AGO, NOW = datetime(2024, 5, 1, tzinfo=UTC), datetime(2026, 11, 25, tzinfo=UTC)
STORED = Record(7, 1, "a.txt", "/a.txt", "letter", "first", "eve", LONG_AGO, "eve", LONG_AGO, 5, 10, 0)


def item(payload: dict[str, Any]) -> OpenItem:
    return OpenItem(UUID(int=1), 3, 20, NOW, UPSERT, 7, payload, None, None, 0, "demo", cancelled=False)


def updated(payload: dict[str, Any]) -> Record:
    record, verdict = step(STORED, item(payload), 7)
    assert (record is not None, verdict.status) == (True, 200)
    assert record is not None
    return record


def sent(**fields: Any) -> dict[str, Any]:
    entry = {"caseAttachment_Key": 7, "case_Key": 1, **fields}
    new = parse(entry, CaseAttachmentOptions(), lambda _field, _value, *, wanted=True: None)  # noqa: ARG005
    assert new.verdict is None
    return new.payload


def test_a_payload_of_the_first_version_is_carried_out_by_the_rule_under_which_it_was_accepted() -> None:
    after = updated({"case_Key": 1, "comment": "second"})
    assert after[2:7] == (None, None, None, "second", "eve"), "what it leaves out is cleared"
    assert (after.entry_date, after.update_user, after.blob_id) == (LONG_AGO, None, 5)
    assert updated({"case_Key": 1, "content": "clear"}).blob_id is None


def test_a_payload_says_what_was_sent_and_null_is_not_left_out() -> None:
    assert updated(sent())[2:6] == STORED[2:6]
    assert updated(sent(comment=None))[2:6] == ("a.txt", "/a.txt", "letter", None)
    assert "comment" not in sent()
    assert sent(comment=None)["comment"] is None


@pytest.mark.parametrize("field", ["entry_User", "entry_Date", "update_User", "update_Date"])
def test_null_for_a_user_or_a_date_is_as_if_it_were_left_out(field: str) -> None:
    assert sent(**{field: None}) == sent()
    after = updated(sent())
    assert (after.entry_user, after.entry_date, after.update_user, after.update_date) == ("eve", LONG_AGO, "demo", NOW)


def test_no_content_beside_a_file_is_invalid_and_not_either_of_them() -> None:
    entry = {"caseAttachment_Key": 7, "case_Key": 1, "attachment": "none:"}
    new = parse(entry, CaseAttachmentOptions(), lambda _field, _value, *, wanted=True: b"a file")  # noqa: ARG005
    assert new.verdict is not None
    assert (new.verdict.status, new.verdict.body) == (422, "attachment must not be 'none:' beside a file")
