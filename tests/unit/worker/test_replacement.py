from schemas.kinds import FILE_DELETE_ALL, FILE_PUT
from worker.kinds.file.replacement import check_replacement
from worker.ledger.model import NewItem

WHERE = {"table": "t", "item": "i"}


def test_a_request_that_is_refused_already_keeps_its_reason() -> None:
    good = NewItem(FILE_PUT, -1, {**WHERE, "mode": "NEW-ONLY", "file_name": "a", "contents": True}, content=b"x")
    bad = NewItem(FILE_PUT, -1, {**WHERE, "mode": "UPDATE-ONLY", "file_name": "a"})
    refused = check_replacement([NewItem(FILE_DELETE_ALL, -1, {**WHERE, "mode": "DELETE"}), good, bad])
    assert [item.verdict is not None and item.verdict.body.endswith("invalid entry 1") for item in refused[:2]] == [
        True
    ] * 2
    assert check_replacement(refused) == refused
