"""What is not as it should be."""

from collections import Counter
from dataclasses import dataclass, field

KINDS = ("lost", "doubled", "out of order", "differing", "taken back", "orphans")
_SHOWN = 10  # of each kind


@dataclass
class Findings:
    """How many there are of each kind, and the first of them in words."""

    counts: Counter[str] = field(default_factory=Counter)
    shown: list[str] = field(default_factory=list)

    def note(self, kind: str, text: str, count: int = 1) -> None:
        """Note ``count`` findings of a kind."""
        assert kind in KINDS
        assert count > 0, f"{text}: found, and none of it"
        if self.counts[kind] < _SHOWN:
            self.shown.append(f"{kind}: {text}")
        self.counts[kind] += count

    def __str__(self) -> str:
        """One line with every kind."""
        return ", ".join(f"{kind} {self.counts[kind]:,}" for kind in KINDS)
