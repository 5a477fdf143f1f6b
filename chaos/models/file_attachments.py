"""The serial model of file attachments: what actions mean when carried out one after another."""

from dataclasses import dataclass, field
from typing import Any

End = tuple[str, int]  # outcome, status
ItemId = tuple[int, int]  # order number, position
Action = dict[str, Any] | None  # None: delete all


@dataclass
class SerialFiles:
    """The files of one item by id: title, file name, contents, access; with their last changes and the deletions."""

    files: dict[int, dict[str, Any]] = field(default_factory=dict)
    _changed: dict[int, ItemId] = field(default_factory=dict)
    _deletions: list[tuple[ItemId, Action]] = field(default_factory=list)

    def carry_out(self, action: Action, number: int | None, item_id: ItemId) -> End:
        """Carry out ``action`` and return its expected end; ``number`` is the file's id in the ledger."""
        end = self._apply(action, number)
        if end[0] == "deleted":
            self._deletions.append((item_id, action))
        elif end[0] in ("created", "updated"):
            assert number is not None
            self._changed[number] = item_id
        return end

    def overtaken(self, action: Action, item_id: ItemId, retry_of: ItemId) -> bool:
        """Return whether a later change or deletion has overtaken the retry ``item_id`` of the item ``retry_of``."""

        def since(done: ItemId) -> bool:
            return done > retry_of and done[0] != item_id[0]

        if there := list(self.files) if action is None else self._find_files(action):
            return any(since(self._changed[number]) for number in there)
        return any(since(done) and _may_match_one_file(deletion, action) for done, deletion in self._deletions)

    def _apply(self, action: Action, number: int | None) -> End:
        if action is None:
            end = ("deleted", 204) if self.files else ("skipped", 200)
            self.files.clear()
            return end
        found = self._find_files(action)
        if len(found) > 1:
            return "failed", 409
        if not found:
            return self._apply_to_missing(action, number)
        assert number == found[0]
        if action["action"] == "NEW-ONLY":
            return "skipped", 200
        if action["action"] == "DELETE":
            del self.files[found[0]]
            return "deleted", 204
        self.files[found[0]].update(
            {name: action[name] for name in ("title", "filename", "contents") if name in action}
        )
        return "updated", 200

    def _find_files(self, action: dict[str, Any]) -> list[int]:
        if "id" in action and action["action"] != "NEW-ONLY":
            return [action["id"]] if action["id"] in self.files else []
        wanted = {name: action[name] for name in ("title", "filename") if name in action}
        return [n for n, file in self.files.items() if all(file[name] == value for name, value in wanted.items())]

    def _apply_to_missing(self, action: dict[str, Any], number: int | None) -> End:
        if "id" in action and action["action"] != "NEW-ONLY":
            return "failed", 404
        if action["action"] in ("DELETE", "UPDATE-ONLY"):
            return "skipped", 200
        if "filename" not in action or "contents" not in action:
            return "invalid", 422
        assert number is not None
        assert number not in self.files
        self.files[number] = {
            "title": action["filename"],
            **{k: action[k] for k in action if k not in ("action", "id")},
        }
        return "created", 201


def is_refused_beside_delete_all(actions: list[dict[str, Any]]) -> bool:
    """Return whether the list beside deleteAll is refused whole: an entry that must fail or find nothing is invalid."""
    model = SerialFiles()
    for number, action in enumerate(actions, 1):
        if action["action"] == "UPDATE-ONLY" or ("id" in action and action["action"] != "NEW-ONLY"):
            return True
        found = model._find_files(action)  # noqa: SLF001  of this module
        outcome, _ = model._apply(action, found[0] if found else number)  # noqa: SLF001
        if outcome in ("failed", "invalid"):
            return True
    return False


def _may_match_one_file(one: Action, other: Action) -> bool:
    if one is None or other is None:
        return True
    if "id" in one or "id" in other:
        return "id" not in one or "id" not in other or one["id"] == other["id"]
    return all(one[name] == other[name] for name in ("title", "filename") if name in one and name in other)
