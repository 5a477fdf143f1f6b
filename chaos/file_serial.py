"""The plain serial model of family B: what file actions mean if they are carried out one after another."""

from dataclasses import dataclass, field
from typing import Any

End = tuple[str, int]  # outcome, status


@dataclass
class SerialFiles:
    """The files of one item by id: title, file name, contents, access."""

    files: dict[int, dict[str, Any]] = field(default_factory=dict)

    def carry_out(self, action: dict[str, Any] | None, number: int | None) -> End:
        """Carry out ``action`` (None: delete all) and return how it must end; ``number`` is the id it was answered."""
        if action is None:
            end = ("deleted", 204) if self.files else ("skipped", 200)
            self.files.clear()
            return end
        found = self._found(action)
        if len(found) > 1:
            return "failed", 409
        if not found:
            return self._absent(action, number)
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

    def _found(self, action: dict[str, Any]) -> list[int]:
        if "id" in action and action["action"] != "NEW-ONLY":
            return [action["id"]] if action["id"] in self.files else []
        wanted = {name: action[name] for name in ("title", "filename") if name in action}
        return [n for n, file in self.files.items() if all(file[name] == value for name, value in wanted.items())]

    def _absent(self, action: dict[str, Any], number: int | None) -> End:
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
