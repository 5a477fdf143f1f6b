"""Records are read, changed and written back by clients of every habit: only what was meant changes."""

import base64
from typing import Any

import httpx
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from support.case_attachments import fresh_keys, item, put, read, statuses

# What an update itself changes: who made it, and when.
OF_THE_UPDATE = {"update_User", "update_Date"}
FIELDS = ("attachment_File", "attachment_Path", "caseAttachment_Type", "comment")
_text = st.one_of(st.none(), st.sampled_from(["", "a", "b"]))
_record = st.fixed_dictionaries(
    dict.fromkeys(FIELDS, _text)
    | {"attachment": st.one_of(st.none(), st.binary(max_size=30).map(lambda b: base64.b64encode(b).decode()))}
)
_change = st.dictionaries(st.sampled_from(FIELDS), _text, max_size=2)


def omitting(shown: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """A client that sends what it changes, and nothing else."""
    return {"caseAttachment_Key": shown["caseAttachment_Key"], "case_Key": shown["case_Key"], **change}


def sending_null(shown: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """A client of a typed language: all fields are there, and those that it has no value of are null."""
    return {**shown, "attachment": None, "entry_Date": None, "update_Date": None, "update_User": None, **change}


def sending_back(shown: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """A client that sends back what it has read."""
    return {**shown, **change}


@settings(
    max_examples=20,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(record=_record, changes=st.lists(st.tuples(st.integers(0, 2), st.booleans(), _change), min_size=1, max_size=6))
def test_nothing_changes_but_what_was_meant(
    client: httpx.Client, record: dict[str, Any], changes: list[tuple[int, bool, dict[str, Any]]]
) -> None:
    (key,) = fresh_keys()
    assert statuses(put(client, [item(key, **record)])) == [201]
    expected = read(client, key)
    for habit, from_list, change in changes:
        shown = _listed(client, key) if from_list else read(client, key)
        sent = (omitting, sending_null, sending_back)[habit](shown, change)
        assert statuses(put(client, [sent])) == [200]
        expected = {**expected, **change}
        after = read(client, key)
        assert {n: v for n, v in after.items() if n not in OF_THE_UPDATE} == {
            n: v for n, v in expected.items() if n not in OF_THE_UPDATE
        }


def _listed(client: httpx.Client, key: int) -> dict[str, Any]:
    query = {"pageSize": "1000", "sortBy": "caseAttachment_Key:desc"}
    (found,) = (
        r for r in client.get("/case-attachments", params=query).json()["data"] if r["caseAttachment_Key"] == key
    )
    shown: dict[str, Any] = found
    return shown
