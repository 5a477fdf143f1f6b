"""Clients that send to the same few records at the same time."""

import random
import threading
import time
from collections import defaultdict

import httpx
import psycopg
import pytest
from support.case_attachments import fresh_keys, item, put
from support.serial_orders import Call, Done, explains


class Overlapping:
    """Some clients that send at the same time to the same few keys; the seed repeats what they send."""

    def __init__(self, client: httpx.Client, seed: int) -> None:
        self.client, self.seed = client, seed
        self.keys = fresh_keys(5)
        self.calls: dict[str, tuple[float, float]] = {}  # by Idempotency-Key: sent and answered

    def run(self) -> None:
        threads = [threading.Thread(target=self._hammer, args=(number,)) for number in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _hammer(self, number: int) -> None:
        dice = random.Random(1000 * self.seed + number)
        with httpx.Client(base_url=self.client.base_url, headers=self.client.headers, timeout=60) as mine:
            for turn in range(12):
                name = f"{self.keys[0]}.{number}.{turn}"
                sent_at = time.monotonic()
                self._send(mine, dice, name)
                self.calls[name] = (sent_at, time.monotonic())

    def _send(self, mine: httpx.Client, dice: random.Random, name: str) -> None:
        headers = {"Idempotency-Key": name}
        if dice.random() < 0.25:
            mine.delete(f"/case-attachments/{dice.choice(self.keys)}", headers=headers)
            return
        items = [item(dice.choice(self.keys), comment=f"{name}.{n}") for n in range(dice.choice([1, 2, 5, 40]))]
        if dice.random() < 0.5:
            headers["Prefer"] = "respond-async"
        assert put(mine, items, **headers).status_code in (202, 207)

    def until_done(self, database: psycopg.Connection) -> None:
        for (batch,) in database.execute("SELECT id FROM batch WHERE idempotency_key = ANY(%s)", [list(self.calls)]):
            answer = self.client.get(f"/batches/{batch}", headers={"Prefer": "wait=30"}).json()
            assert answer["state"] == "finished"


@pytest.mark.parametrize("seed", range(2))
def test_overlapping_clients_see_one_order_record_by_record(
    client: httpx.Client, demo_db: psycopg.Connection, seed: int
) -> None:
    clients = Overlapping(client, seed)
    clients.run()
    clients.until_done(demo_db)
    rows = demo_db.execute(
        "SELECT acceptance, i.key, idempotency_key, payload ->> 'comment', outcome, status"
        " FROM item AS i JOIN batch ON batch.id = batch_id WHERE i.key = ANY(%s) ORDER BY acceptance, position",
        [clients.keys],
    ).fetchall()
    seen: dict[int, dict[str, list[Done]]] = {key: defaultdict(list) for key in clients.keys}
    for _, key, name, comment, outcome, status in rows:
        seen[key][name].append(Done(comment, outcome, status))
    for key, of_key in seen.items():
        record = client.get(f"/case-attachments/{key}").json()["data"] or {}
        calls = [Call(*clients.calls[name], items) for name, items in of_key.items()]
        assert explains(calls, record.get("comment")), calls
    numbers = {name: acceptance for acceptance, _, name, *_ in rows}
    in_turn = [(one, two) for one in numbers for two in numbers if clients.calls[one][1] < clients.calls[two][0]]
    assert in_turn
    assert all(numbers[one] < numbers[two] for one, two in in_turn)
