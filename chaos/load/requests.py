"""The requests: each is a function of the seed and its name, so checks need no record of what was sent."""

import base64
import hashlib
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from chaos.models.file_attachments import is_refused_beside_delete_all

# Ranges of keys that clients choose, far above the keys that the server generates.
_HOT_KEYS = 1_500_000_000
_IMPORT_KEYS = 1_200_000_000
_PROBE_KEYS = 1_100_000_000
_CLIENT_KEYS = 100_000_000
COLLECTIONS = tuple(f"hot {number}" for number in range(6))
_INLINE_BYTES = 2**20  # Limpet's default: content up to this size is kept in the ledger
_SHARED_CONTENTS = 20  # contents that many items have in common
RESTRICTED = "ATTACHACCESS-RESTRICTED"  # the database refuses files of this access half of the time


@dataclass(frozen=True, slots=True)
class Content:
    """Content as the parameters that generate its bytes, so the bytes need not be kept."""

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
class RequestItem:
    """One item of a request. ``fields`` have a Content where the wire has base64.

    ``kind``: upsert, create, delete; for file attachments file (an action) and delete_all.
    ``invalid``: the API must find it invalid.
    """

    kind: str
    key: int = 0
    fields: dict[str, Any] = field(default_factory=dict)
    invalid: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """One request; its name is its Idempotency-Key."""

    name: str
    method: str
    path: str
    prefer: str
    items: tuple[RequestItem, ...]
    body: Callable[[], bytes]


class Load:
    """All requests of one seed; ``small`` ones for a run of about a minute."""

    def __init__(self, seed: int, *, small: bool) -> None:
        self.seed = seed
        self._max_items = 120 if small else 1000
        self._import_rows = 300 if small else 1500

    @lru_cache(maxsize=300)  # noqa: B019  one load lives as long as the process
    def request(self, name: str) -> Request:
        """Return the request ``name``: the client's role and number, a point, the request's number."""
        client, _, number = name.partition(".")
        role = client.rstrip("0123456789")
        rng = random.Random(f"{self.seed} {name}")
        if role == "bulk":
            return self._bulk(name, rng, int(client.removeprefix(role)))
        if role == "probe":
            return _probe(name, rng, int(number))
        return {"small": _small, "single": _single, "files": _files}[role](name, rng)

    @lru_cache(maxsize=20)  # noqa: B019  as above
    def rows(self, name: str) -> tuple[RequestItem, ...]:
        """Return the items of the import ``name``, in the order of its manifest."""
        if name.startswith("relay"):
            key = _PROBE_KEYS + 50_000_000 + int(name.partition(".")[2])
            return (RequestItem("upsert", key, {"comment": f"{name}.0"}),)
        rng = random.Random(f"{self.seed} {name}")
        with_files = rng.random() < 0.5
        rows = []
        for position in range(self._import_rows // (5 if with_files else 1)):
            key = _hot_key(rng) if rng.random() < 0.05 else rng.randrange(_IMPORT_KEYS, _IMPORT_KEYS + 50_000)
            fields: dict[str, Any] = {"comment": f"{name}.{position}"}
            if with_files:
                fields["attachment"] = _draw_content(rng)
            rows.append(RequestItem("upsert", key, fields))
        return tuple(rows)

    def _bulk(self, name: str, rng: random.Random, client: int) -> Request:
        start = _CLIENT_KEYS * (client + 1)
        items = []
        for position in range(rng.randrange(self._max_items // 2, self._max_items + 1)):
            key = rng.choices([_hot_key(rng, 200), 0, rng.randrange(start, start + 30_000)], [25, 5, 70])[0]
            fields = {"comment": f"{name}.{position}"}
            items.append(_with_content(rng, RequestItem("upsert", key, fields), probability=0.003))
        return _batch(name, "respond-async", items)


def _small(name: str, rng: random.Random) -> Request:
    items = []
    for position in range(rng.randrange(1, 31)):
        key = 0 if rng.random() < 0.1 else _hot_key(rng)
        items.append(_upsert(name, rng, key, position))
    return _batch(name, rng.choice(["respond-async", "wait=5"]), items)


def _single(name: str, rng: random.Random) -> Request:
    key = _hot_key(rng)
    method = rng.choice(["POST", "PUT", "DELETE", "DELETE"])
    if method == "DELETE":
        return Request(name, method, f"/case-attachments/{key}", "wait=5", (RequestItem("delete", key),), lambda: b"")
    item = _upsert(name, rng, key, 0)
    path = "/case-attachments" + (f"/{key}" if method == "PUT" else "")
    item = RequestItem("create" if method == "POST" else "upsert", key, item.fields, item.invalid)
    return Request(name, method, path, "wait=5", (item,), lambda: json.dumps(_wire(item)).encode())


def _probe(name: str, rng: random.Random, number: int) -> Request:
    content = Content(rng.randrange(2**32), 100)
    item = RequestItem("upsert", _PROBE_KEYS + number, {"comment": f"{name}.0", "attachment": content})
    return _batch(name, "wait=2", [item])


def _batch(name: str, prefer: str, items: list[RequestItem]) -> Request:
    def body() -> bytes:
        return json.dumps([_wire(item) for item in items]).encode()

    return Request(name, "PUT", "/case-attachments-batch", prefer, tuple(items), body)


def _hot_key(rng: random.Random, count: int = 40) -> int:
    return _HOT_KEYS + rng.randrange(count)


def _upsert(name: str, rng: random.Random, key: int, position: int) -> RequestItem:
    refused = rng.random() < 0.04
    fields: dict[str, Any] = {"comment": f"{'refuse ' if refused else ''}{name}.{position}"}
    if rng.random() < 0.2:
        fields["entry_User"] = rng.choice(["eve", None])
    if rng.random() < 0.2:
        fields["comment"] = None
    elif not refused and rng.random() < 0.1:
        del fields["comment"]
    invalid = rng.random() < 0.02
    if invalid:
        fields["case_Key"] = -1
    return _with_content(rng, RequestItem("upsert", key, fields, invalid), probability=0.5)


def _with_content(rng: random.Random, item: RequestItem, probability: float) -> RequestItem:
    if rng.random() >= probability:
        return item
    content = rng.choice([None, "none:"]) if rng.random() < 0.1 else _draw_content(rng)
    return RequestItem(item.kind, item.key, {**item.fields, "attachment": content}, item.invalid)


def _draw_content(rng: random.Random) -> Content:
    if rng.random() < 0.3:
        number = rng.randrange(_SHARED_CONTENTS)
        return Content(number, 50 * number)
    ranges = [(0, 1), (1, 300), (4_000, 60_000), (_INLINE_BYTES - 2, _INLINE_BYTES + 3), (2_000_000, 6_000_000)]
    low, high = rng.choices(ranges, [10, 70, 20, 1, 0.7])[0]
    return Content(rng.randrange(2**32), rng.randrange(low, high))


def _files(name: str, rng: random.Random) -> Request:
    collection = rng.choice(COLLECTIONS)
    actions = [_draw_action(rng) for _ in range(rng.randrange(1, 9))]
    delete_all = rng.random() < 0.1
    refused = delete_all and is_refused_beside_delete_all(actions)
    first = (RequestItem("delete_all", invalid=refused),) if delete_all else ()

    def body() -> bytes:
        return json.dumps({"fileAttachList": [_wire_action(a) for a in actions], "deleteAll": delete_all}).encode()

    items = (*first, *(RequestItem("file", fields=a, invalid=refused) for a in actions))
    path = f"/jsonapi/UpdateFileAttachments/Chaos/{collection}"
    return Request(name, "POST", path, rng.choice(["respond-async", "wait=5"]), items, body)


def _draw_action(rng: random.Random) -> dict[str, Any]:
    action: dict[str, Any] = {"action": rng.choice(["NEW-ONLY", "UPDATE-ONLY", "NEW-UPDATE", "NEW-UPDATE", "DELETE"])}
    name = rng.choice("abcdefgh")
    action |= rng.choices([{"filename": name}, {"title": name}, {"filename": name, "title": name}], [6, 1, 2])[0]
    if action["action"] != "NEW-ONLY" and rng.random() < 0.15:
        action["id"] = rng.randrange(1, 400)
    if action["action"] != "DELETE":
        action["accessType"] = RESTRICTED if rng.random() < 0.15 else "ATTACHACCESS-DEFAULT"
        if rng.random() < 0.9:
            action["contents"] = _draw_content(rng)
    return action


def _wire(item: RequestItem) -> dict[str, Any]:
    sent = {"caseAttachment_Key": item.key, "case_Key": 1, **item.fields}
    if isinstance(content := sent.get("attachment"), Content):
        sent["attachment"] = base64.b64encode(content.data()).decode()
    return sent


def _wire_action(action: dict[str, Any]) -> dict[str, Any]:
    sent = {name: value for name, value in action.items() if name != "contents"}
    if "contents" in action:
        sent["contentsbase64"] = {"data": base64.b64encode(action["contents"].data()).decode()}
    return sent
