"""What is sent: each request is a function of the seed and its name, so nothing has to be remembered to check it."""

import base64
import hashlib
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

# Far above what the generator of keys reaches: a key is either named by clients or made by the server.
HOT = 1_500_000_000
_IMPORTED = 1_200_000_000
_PROBED = 1_100_000_000
_OF_ITS_OWN = 100_000_000
COLLECTIONS = tuple(f"hot {number}" for number in range(6))
_INLINE = 2**20  # the product's bound: content up to this rides in the ledger
_SHARED = 20  # contents that many items bring
RESTRICTED = "ATTACHACCESS-RESTRICTED"  # the database refuses files of this access for some seconds


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes by what makes them, so that they need not be kept."""

    number: int
    size: int

    def data(self) -> bytes:
        """Return the bytes."""
        return random.Random(f"{self.number} {self.size}").randbytes(self.size)


@lru_cache(maxsize=50_000)
def digest(content: Content) -> bytes:
    """Return the SHA-256 of a content."""
    return hashlib.sha256(content.data()).digest()


@dataclass(frozen=True, slots=True)
class Wanted:
    """One item as it is sent. ``fields`` have a Content where the wire has base64.

    ``kind``: upsert, create, delete, or file (an action) and delete_all of family B. ``bad``: it must be refused.
    """

    kind: str
    key: int = 0
    fields: dict[str, Any] = field(default_factory=dict)
    bad: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """One request; its name is its Idempotency-Key."""

    name: str
    method: str
    path: str
    prefer: str
    items: tuple[Wanted, ...]
    body: Callable[[], bytes]


class Load:
    """All requests of one seed; ``small`` ones for a run of a minute or so."""

    def __init__(self, seed: int, *, small: bool) -> None:
        self.seed = seed
        self._most = 120 if small else 1000
        self._import_rows = 300 if small else 1500

    @lru_cache(maxsize=300)  # noqa: B019  one load lives as long as the process
    def request(self, name: str) -> Request:
        """Return the request of that name: the client's role and number, a point, which of its requests."""
        client, _, number = name.partition(".")
        role = client.rstrip("0123456789")
        dice = random.Random(f"{self.seed} {name}")
        if role == "bulk":
            return self._bulk(name, dice, int(client.removeprefix(role)))
        if role == "probe":
            return _probe(name, dice, int(number))
        return {"small": _small, "single": _single, "files": _files}[role](name, dice)

    @lru_cache(maxsize=20)  # noqa: B019  as above
    def rows(self, name: str) -> tuple[Wanted, ...]:
        """Return the items of the import of that name, in the order of its manifest."""
        if name.startswith("relay"):
            key = _PROBED + 50_000_000 + int(name.partition(".")[2])
            return (Wanted("upsert", key, {"comment": f"{name}.0"}),)
        dice = random.Random(f"{self.seed} {name}")
        with_files = dice.random() < 0.5
        rows = []
        for position in range(self._import_rows // (5 if with_files else 1)):
            key = _hot(dice) if dice.random() < 0.05 else dice.randrange(_IMPORTED, _IMPORTED + 50_000)
            fields: dict[str, Any] = {"comment": f"{name}.{position}"}
            if with_files:
                fields["attachment"] = _content(dice)
            rows.append(Wanted("upsert", key, fields))
        return tuple(rows)

    def _bulk(self, name: str, dice: random.Random, client: int) -> Request:
        own = _OF_ITS_OWN * (client + 1)
        items = []
        for position in range(dice.randrange(self._most // 2, self._most + 1)):
            key = dice.choices([_hot(dice, 200), 0, dice.randrange(own, own + 30_000)], [25, 5, 70])[0]
            fields = {"comment": f"{name}.{position}"}
            items.append(_with_content(dice, Wanted("upsert", key, fields), often=0.003))
        return _batch(name, "respond-async", items)


def _small(name: str, dice: random.Random) -> Request:
    items = []
    for position in range(dice.randrange(1, 31)):
        key = 0 if dice.random() < 0.1 else _hot(dice)
        items.append(_upsert(name, dice, key, position))
    return _batch(name, dice.choice(["respond-async", "wait=5"]), items)


def _single(name: str, dice: random.Random) -> Request:
    key = _hot(dice)
    way = dice.choice(["POST", "PUT", "DELETE", "DELETE"])
    if way == "DELETE":
        return Request(name, way, f"/case-attachments/{key}", "wait=5", (Wanted("delete", key),), lambda: b"")
    item = _upsert(name, dice, key, 0)
    path = "/case-attachments" + (f"/{key}" if way == "PUT" else "")
    item = Wanted("create" if way == "POST" else "upsert", key, item.fields, item.bad)
    return Request(name, way, path, "wait=5", (item,), lambda: json.dumps(_wire(item)).encode())


def _probe(name: str, dice: random.Random, number: int) -> Request:
    content = Content(dice.randrange(2**32), 100)
    return _batch(name, "wait=2", [Wanted("upsert", _PROBED + number, {"comment": f"{name}.0", "attachment": content})])


def _batch(name: str, prefer: str, items: list[Wanted]) -> Request:
    def body() -> bytes:
        return json.dumps([_wire(item) for item in items]).encode()

    return Request(name, "PUT", "/case-attachments-batch", prefer, tuple(items), body)


def _hot(dice: random.Random, count: int = 40) -> int:
    return HOT + dice.randrange(count)


def _upsert(name: str, dice: random.Random, key: int, position: int) -> Wanted:
    refused = dice.random() < 0.04
    fields: dict[str, Any] = {"comment": f"{'refuse ' if refused else ''}{name}.{position}"}
    if dice.random() < 0.2:
        fields["entry_User"] = dice.choice(["eve", None])
    bad = dice.random() < 0.02
    if bad:
        fields["case_Key"] = -1
    return _with_content(dice, Wanted("upsert", key, fields, bad), often=0.5)


def _with_content(dice: random.Random, item: Wanted, often: float) -> Wanted:
    if dice.random() >= often:
        return item
    content = None if dice.random() < 0.1 else _content(dice)
    return Wanted(item.kind, item.key, {**item.fields, "attachment": content}, item.bad)


def _content(dice: random.Random) -> Content:
    if dice.random() < 0.3:
        number = dice.randrange(_SHARED)
        return Content(number, 50 * number)
    ranges = [(0, 1), (1, 300), (4_000, 60_000), (_INLINE - 2, _INLINE + 3), (2_000_000, 6_000_000)]
    low, high = dice.choices(ranges, [10, 70, 20, 1, 0.7])[0]
    return Content(dice.randrange(2**32), dice.randrange(low, high))


def _files(name: str, dice: random.Random) -> Request:
    collection = dice.choice(COLLECTIONS)
    actions = [_action(dice) for _ in range(dice.randrange(1, 9))]
    delete_all = dice.random() < 0.1
    first = (Wanted("delete_all"),) if delete_all else ()

    def body() -> bytes:
        return json.dumps({"fileAttachList": [_wire_action(a) for a in actions], "deleteAll": delete_all}).encode()

    items = (*first, *(Wanted("file", fields=a) for a in actions))
    path = f"/jsonapi/UpdateFileAttachments/Chaos/{collection}"
    return Request(name, "POST", path, dice.choice(["respond-async", "wait=5"]), items, body)


def _action(dice: random.Random) -> dict[str, Any]:
    action: dict[str, Any] = {"action": dice.choice(["NEW-ONLY", "UPDATE-ONLY", "NEW-UPDATE", "NEW-UPDATE", "DELETE"])}
    name = dice.choice("abcdefgh")
    action |= dice.choices([{"filename": name}, {"title": name}, {"filename": name, "title": name}], [6, 1, 2])[0]
    if action["action"] != "NEW-ONLY" and dice.random() < 0.15:
        action["id"] = dice.randrange(1, 400)
    if action["action"] != "DELETE":
        action["accessType"] = RESTRICTED if dice.random() < 0.15 else "ATTACHACCESS-DEFAULT"
        if dice.random() < 0.9:
            action["contents"] = _content(dice)
    return action


def _wire(item: Wanted) -> dict[str, Any]:
    sent = {"caseAttachment_Key": item.key, "case_Key": 1, **item.fields}
    if isinstance(content := sent.get("attachment"), Content):
        sent["attachment"] = base64.b64encode(content.data()).decode()
    return sent


def _wire_action(action: dict[str, Any]) -> dict[str, Any]:
    sent = {name: value for name, value in action.items() if name != "contents"}
    if "contents" in action:
        sent["contentsbase64"] = {"data": base64.b64encode(action["contents"].data()).decode()}
    return sent
