"""Two clients hammer one item through real workers; all ends as in the plain serial model, in the order accepted."""

import threading
import time
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from support.file_attachments import content, data, files_client, fresh_item, get, send

from chaos.models.file_attachments import SerialFiles, is_refused_beside_delete_all

_names = st.sampled_from(["a", "b", "c"])
_actions = st.fixed_dictionaries(
    {"action": st.sampled_from(["NEW-ONLY", "UPDATE-ONLY", "NEW-UPDATE", "NEW-UPDATE", "DELETE"])},
    optional={
        "id": st.integers(0, 5),  # the id of the n-th file that the client has seen
        "title": _names,
        "filename": _names,
        "contents": st.binary(max_size=20),
    },
).filter(
    lambda action: "title" in action or "filename" in action or ("id" in action and action["action"] != "NEW-ONLY")
)
_requests = st.fixed_dictionaries(
    {
        "actions": st.lists(_actions, max_size=6),
        "delete_all": st.sampled_from([False, False, False, True]),
        "hasty": st.booleans(),
    }
)
_clients = st.lists(st.lists(_requests, min_size=2, max_size=6), min_size=2, max_size=2)


@dataclass
class Call:
    """One request: when it was sent and answered, its batch, and what it asked for."""

    sent_at: float
    answered_at: float
    batch: UUID
    asked: list[dict[str, Any] | None]  # None: delete all


@dataclass
class Hammer:
    """One client and what it did."""

    client: httpx.Client
    item: str
    requests: list[Any]
    calls: list[Call] = field(default_factory=list)
    seen: list[int] = field(default_factory=list)

    def run(self) -> None:
        for request in self.requests:
            actions = [self._with_id(action) for action in request["actions"]]
            wire = [
                {k: v for k, v in a.items() if k != "contents"}
                | ({"contentsbase64": data(a["contents"])} if "contents" in a else {})
                for a in actions
            ]
            how = {"Prefer": "respond-async"} if request["hasty"] else {}
            sent_at = time.monotonic()
            answer = send(self.client, self.item, wire, how, deleteAll=request["delete_all"])
            assert answer.status_code in (200, 202), answer.text
            told = answer.json()
            self.seen += [f["id"] for f in told["fileattachments"]["files"] if f["id"] not in self.seen]
            asked: list[dict[str, Any] | None] = [None, *actions] if request["delete_all"] else [*actions]
            self.calls.append(Call(sent_at, time.monotonic(), UUID(told["batch"]["id"]), asked))

    def _with_id(self, action: dict[str, Any]) -> dict[str, Any]:
        if "id" not in action:
            return action
        number = self.seen[action["id"] % len(self.seen)] if self.seen else 10**15
        return action | {"id": number}


def hammered(clients: list[Hammer]) -> list[Call]:
    threads = [threading.Thread(target=client.run) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    calls = [call for client in clients for call in client.calls]
    for call in calls:
        batch = clients[0].client.get(f"/batches/{call.batch}", headers={"Prefer": "wait=30"}).json()
        assert batch["state"] == "finished"
    assert len(calls) == sum(len(client.requests) for client in clients)
    return calls


_ENDS = """
    SELECT i.batch_id, i.position, i.acceptance, i.outcome, i.status, i.record_key FROM item AS i
    WHERE i.batch_id = ANY(%s) ORDER BY i.acceptance, i.position
"""


def followed(examples: int) -> settings:
    return settings(
        max_examples=examples,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],  # real workers do not repeat themselves, so shrinking misleads
        suppress_health_check=list(HealthCheck),
    )


def follow(stack: dict[str, str], database: psycopg.Connection, plans: list[Any]) -> None:
    """Let two clients carry out their plans at the same time, and compare every end with the model's."""
    item = fresh_item()
    with files_client(stack) as one, files_client(stack) as other:
        calls = hammered([Hammer(one, item, plans[0]), Hammer(other, item, plans[1])])
        by_batch = {call.batch: call for call in calls}
        model = SerialFiles()
        rows = database.execute(_ENDS, [list(by_batch)]).fetchall()
        for batch, position, acceptance, outcome, status, number in rows:
            asked = by_batch[batch].asked
            if asked and asked[0] is None and is_refused_beside_delete_all([a for a in asked if a is not None]):
                assert (outcome, status) == ("invalid", 422)
                continue
            assert (outcome, status) == model.carry_out(asked[position], number, (acceptance, position))
        assert {
            f["id"]: {"title": f["title"], "filename": f["fileName"], "contents": content(f)} for f in get(one, item)
        } == model.files
    circles = database.execute(
        "SELECT history FROM chunk WHERE batch_id = ANY(%s) AND history::text LIKE '%%Deadlock%%'", [list(by_batch)]
    ).fetchall()
    assert circles == [], "all lock in one order"
    place = {batch: acceptance for batch, _, acceptance, *_ in rows}
    done = [call for call in calls if call.batch in place]
    assert all(place[a.batch] < place[b.batch] for a in done for b in done if a.answered_at < b.sent_at), (
        "a request whose answer came before another was sent is before it"
    )


@followed(examples=8)
@given(plans=_clients)
def test_two_clients_on_one_item_end_as_in_the_serial_model(
    stack: dict[str, str], demo_db: psycopg.Connection, plans: list[Any]
) -> None:
    follow(stack, demo_db, plans)


@pytest.mark.long
@followed(examples=25)
@given(plans=_clients)
def test_many_plans_of_two_clients_on_one_item_end_as_in_the_serial_model(
    stack: dict[str, str], demo_db: psycopg.Connection, plans: list[Any]
) -> None:
    follow(stack, demo_db, plans)
