"""The serial model of case attachments: what items mean when carried out one after another."""

from dataclasses import dataclass, field
from typing import Any

ItemId = tuple[int, int]


@dataclass
class Sent:
    """One item as it was sent, with its end."""

    item_id: ItemId
    kind: str  # upsert, create, delete
    key: int  # 0 until the server has assigned one
    fields: dict[str, Any]
    outcome: str
    status: int
    retry_of: ItemId | None = None
    guarded: bool = False


@dataclass
class Serial:
    """Records by key, and the item that last changed each."""

    records: dict[int, dict[str, Any]] = field(default_factory=dict)
    changed: dict[int, ItemId] = field(default_factory=dict)

    def carry_out(self, item: Sent) -> None:
        """Carry out ``item`` and compare its end; cancellations and refusals by the database always pass."""
        if item.outcome in ("cancelled", "invalid"):
            return
        if item.status == 412:
            assert item.guarded
            return
        if item.status == 500:
            assert (item.fields.get("comment") or "").startswith("refuse")
            return
        expected = self._expect_end(item)
        assert (item.outcome, item.status) == expected, f"{item} should be {expected}"
        if item.outcome == "deleted":
            del self.records[item.key]
        elif item.outcome in ("created", "updated"):
            self.records[item.key] = self._make_record(item)
        if item.outcome in ("created", "updated", "deleted"):
            self.changed[item.key] = item.item_id

    def _expect_end(self, item: Sent) -> tuple[str, int]:
        changed = self.changed.get(item.key, (-1, -1))
        if item.retry_of is not None and changed > item.retry_of and changed[0] != item.item_id[0]:
            return "skipped", 200
        if item.kind == "delete":
            return ("deleted", 204) if item.key in self.records else ("failed", 404)
        if item.key not in self.records:
            return "created", 201
        return ("failed", 409) if item.kind == "create" else ("updated", 200)

    def _make_record(self, item: Sent) -> dict[str, Any]:
        before = self.records.get(item.key, {"comment": None, "attachment": None, "entry_User": "demo"})
        content = item.fields.get("attachment")
        if content is None:  # left out or null
            content = before["attachment"]
        elif content == "none:":
            content = None
        entered = item.fields.get("entry_User") or before["entry_User"]
        return {**before, **item.fields, "attachment": content, "entry_User": entered}
