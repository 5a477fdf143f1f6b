"""Random histories through real workers, compared with the plain serial model."""

import base64
from dataclasses import dataclass, field
from typing import Any

import httpx
import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from support.case_attachments import fresh_keys, item, put, refusing

from chaos.models.case_attachments import Sent, Serial

KEYS = 4
# A key is a number from 0 to KEYS: 0 is "none", the others are fresh for each history.
_fields = st.fixed_dictionaries(
    {},
    optional={
        "comment": st.sampled_from(["a", "b", "refuse", None]),
        "attachment_File": st.sampled_from(["f", None]),
        "caseAttachment_Type": st.sampled_from(["t", None]),
        "attachment": st.one_of(
            st.none(), st.just("none:"), st.binary(max_size=40).map(lambda b: base64.b64encode(b).decode())
        ),
        "entry_User": st.sampled_from(["eve", None]),
    },
)
_items = st.lists(st.tuples(st.integers(0, KEYS), _fields), max_size=12)
_step = st.one_of(
    st.tuples(st.just("batch"), _items),
    st.tuples(st.just("async"), _items),
    st.tuples(st.just("post"), st.tuples(st.integers(0, KEYS), _fields)),
    st.tuples(st.just("put"), st.tuples(st.integers(1, KEYS), _fields)),
    st.tuples(st.just("guarded"), st.tuples(st.integers(1, KEYS), _fields)),
    st.tuples(st.just("delete"), st.integers(1, KEYS)),
    st.tuples(st.just("cancel"), st.none()),
    st.tuples(st.just("retry"), st.none()),
)


@dataclass
class History:
    """What one client did, in the order it did it."""

    client: httpx.Client
    keys: list[int]
    batches: list[str] = field(default_factory=list)
    sent: dict[str, list[tuple[str, int, dict[str, Any], bool]]] = field(default_factory=dict)

    def do(self, step: str, argument: Any) -> None:
        getattr(self, f"_{step}")(argument)

    def _key(self, number: int) -> int:
        return self.keys[number - 1] if number else 0

    def _note(self, answer: httpx.Response, items: list[tuple[str, int, dict[str, Any], bool]]) -> None:
        href = answer.json()["batch"]["href"] if answer.content else self._latest()
        self.batches.append(href)
        self.sent[href] = items

    def _latest(self) -> str:
        href: str = self.client.get("/batches?limit=1").json()["batches"][0]["href"]
        return href

    def _batch(self, items: Any, **headers: str) -> None:
        answer = put(self.client, [item(self._key(n), **f) for n, f in items], **headers)
        assert answer.status_code in (202, 207), answer.text
        self._note(answer, [("upsert", self._key(n), f, False) for n, f in items])

    def _async(self, items: Any) -> None:
        self._batch(items, Prefer="respond-async")

    def _post(self, one: Any) -> None:
        number, fields = one
        answer = self.client.post("/case-attachments", json=item(self._key(number), **fields))
        self._note(answer, [("create", self._key(number), fields, False)])

    def _put(self, one: Any, **headers: str) -> None:
        number, fields = one
        key = self._key(number)
        answer = self.client.put(f"/case-attachments/{key}", json=item(key, **fields), headers=headers)
        self._note(answer, [("upsert", key, fields, bool(headers))])

    def _guarded(self, one: Any) -> None:
        etag = self.client.get(f"/case-attachments/{self._key(one[0])}").headers.get("etag")
        self._put(one, **({"If-Match": etag} if etag else {}))

    def _delete(self, number: int) -> None:
        answer = self.client.delete(f"/case-attachments/{self._key(number)}")
        self._note(answer, [("delete", self._key(number), {}, False)])

    def _cancel(self, _: None) -> None:
        if self.batches:
            assert self.client.post(f"{self.batches[-1]}/cancel").status_code in (200, 202)

    def _retry(self, _: None) -> None:
        for href in reversed(self.batches):
            if self.client.get(href, headers={"Prefer": "wait=20"}).json()["counts"].get("failed"):
                answer = self.client.post(f"{href}/retry")
                if answer.status_code == 202:
                    child = answer.json()["href"]
                    self.batches.append(child)
                    self.sent[child] = [("retry of", 0, {"parent": href}, False)]
                return

    def replay(self) -> Serial:
        """Wait for every batch, carry out the same in the model, and compare each verdict."""
        model = Serial()
        ends: dict[str, list[Sent]] = {}
        for number, href in enumerate(self.batches):
            batch = self.client.get(href, headers={"Prefer": "wait=20"}).json()
            assert batch["state"] in ("finished", "cancelled")
            report = self.client.get(f"{href}/report?limit=10000").json()["data"]
            assert len(report) == batch["total"] == sum(batch["counts"].values())
            sent = self.sent[href]
            if sent and sent[0][0] == "retry of":
                parent = ends[sent[0][2]["parent"]]
                items = [e for e in parent if e.status == 500]
            else:
                items = [Sent((0, 0), kind, key, fields, "", 0, None, g) for kind, key, fields, g in sent]
            ends[href] = [
                Sent(
                    (number, position),
                    i.kind,
                    entry["id"][0]["value"],
                    i.fields,
                    entry["outcome"],
                    entry["status"],
                    (i.retry_of or i.item_id) if i.status else None,
                    i.guarded,
                )
                for position, (i, entry) in enumerate(zip(items, report, strict=True))
            ]
            for end in ends[href]:
                model.carry_out(end)
        return model


def followed(examples: int) -> settings:
    return settings(
        max_examples=examples,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],  # real workers do not repeat themselves, so shrinking misleads
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
    )


def follow(client: httpx.Client, database: psycopg.Connection, steps: list[tuple[str, Any]]) -> None:
    """Carry out the steps, and compare every verdict and record with the model's."""
    history = History(client, fresh_keys(KEYS))
    with refusing(database):
        for step, argument in steps:
            history.do(step, argument)
        model = history.replay()
    for key in {*history.keys, *model.records}:
        answer = client.get(f"/case-attachments/{key}")
        expected = model.records.get(key)
        assert answer.status_code == (404 if expected is None else 200)
        if expected is not None:
            record = answer.json()["data"]
            assert {name: record[name] for name in expected} == expected


_steps = st.lists(_step, min_size=3, max_size=14)


@followed(examples=8)
@given(steps=_steps)
def test_a_random_history_ends_as_in_the_serial_model(
    client: httpx.Client, demo_db: psycopg.Connection, steps: list[tuple[str, Any]]
) -> None:
    follow(client, demo_db, steps)


@pytest.mark.long
@followed(examples=30)
@given(steps=_steps)
def test_many_random_histories_end_as_in_the_serial_model(
    client: httpx.Client, demo_db: psycopg.Connection, steps: list[tuple[str, Any]]
) -> None:
    follow(client, demo_db, steps)
