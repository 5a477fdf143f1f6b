"""The plain serial model: what a chain of items means if they are carried out one after another."""

from dataclasses import dataclass, field
from typing import Any

Place = tuple[int, int]


@dataclass
class Sent:
    """One item as it was sent, and how it ended."""

    place: Place
    kind: str  # upsert, create, delete
    key: int  # 0 until the answer names it
    fields: dict[str, Any]
    outcome: str
    status: int
    retry_of: Place | None = None
    guarded: bool = False


@dataclass
class Serial:
    """Records by key, and where each was changed last."""

    records: dict[int, dict[str, Any]] = field(default_factory=dict)
    changed: dict[int, Place] = field(default_factory=dict)

    def carry_out(self, item: Sent) -> None:
        """Carry out ``item`` and compare; cancellations and refusals by the database are taken as they came."""
        if item.outcome in ("cancelled", "invalid"):
            return
        if item.status == 412:
            assert item.guarded
            return
        if item.status == 500:
            assert item.fields.get("comment", "").startswith("refuse")
            return
        expected = self._expected(item)
        assert (item.outcome, item.status) == expected, f"{item} should be {expected}"
        if item.outcome == "deleted":
            del self.records[item.key]
        elif item.outcome in ("created", "updated"):
            self.records[item.key] = self._after(item)
        if item.outcome in ("created", "updated", "deleted"):
            self.changed[item.key] = item.place

    def _expected(self, item: Sent) -> tuple[str, int]:
        changed = self.changed.get(item.key, (-1, -1))
        if item.retry_of is not None and changed > item.retry_of and changed[0] != item.place[0]:
            return "skipped", 200
        if item.kind == "delete":
            return ("deleted", 204) if item.key in self.records else ("failed", 404)
        if item.key not in self.records:
            return "created", 201
        return ("failed", 409) if item.kind == "create" else ("updated", 200)

    def _after(self, item: Sent) -> dict[str, Any]:
        before = self.records.get(item.key, {})
        kept = before.get("attachment") if "attachment" not in item.fields else item.fields["attachment"]
        entered = item.fields.get("entry_User") or before.get("entry_User", "demo")
        return {"comment": item.fields.get("comment"), "attachment": kept, "entry_User": entered}
