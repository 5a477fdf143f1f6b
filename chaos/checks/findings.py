"""Findings: violations of the promises, by kind."""

from collections import Counter
from dataclasses import dataclass, field

KINDS = ("lost", "doubled", "out of order", "differing", "taken back", "orphans")
_SHOWN = 10  # of each kind


@dataclass
class Findings:
    """Counts findings by kind, and keeps the first texts of each."""

    counts: Counter[str] = field(default_factory=Counter)
    shown: list[str] = field(default_factory=list)

    def note(self, kind: str, text: str, count: int = 1) -> None:
        """Add ``count`` findings of a kind."""
        assert kind in KINDS
        assert count > 0, f"{text}: a finding without a count"
        if self.counts[kind] < _SHOWN:
            self.shown.append(f"{kind}: {text}")
        self.counts[kind] += count

    def __str__(self) -> str:
        """Return one line with every kind."""
        return ", ".join(f"{kind} {self.counts[kind]:,}" for kind in KINDS)
