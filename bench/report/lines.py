"""The lines of the table: measured values, the peer's values, and the goal."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

_HEADER = ("#", "what", "ours", "peer", "ratio", "rounds", "goal", "")


@dataclass(frozen=True)
class Goal:
    """A bound of the ratio of ours to the peer's."""

    sense: Literal["≥", "≤"]
    bound: float

    def reached(self, ratio: float) -> bool:
        """Return whether the ratio reaches the bound."""
        return ratio >= self.bound if self.sense == "≥" else ratio <= self.bound


@dataclass(frozen=True)
class Line:
    """One comparison: a value of each round for ours and, if there is one, for the peer of the same round."""

    row: int
    what: str
    unit: str
    ours: Sequence[float]
    peer: Sequence[float] = ()
    goal: Goal | None = None

    @property
    def ratios(self) -> list[float]:
        """Ratios of ours to the peer's, by round."""
        return [ours / peer for ours, peer in zip(self.ours, self.peer, strict=True)] if self.peer else []

    @property
    def ratio(self) -> float | None:
        """The median of the rounds; None if there is nothing to compare with."""
        return median(self.ratios) if self.peer else None

    @property
    def reached(self) -> bool | None:
        """Whether the goal is reached; None if there is none."""
        if self.goal is None:
            return None
        measured = self.ratio if self.ratio is not None else max(self.ours)
        return self.goal.reached(measured)

    def cells(self) -> tuple[str, ...]:
        """Return the line as the table shows it."""
        spread = f"{three_digits(min(self.ratios))} to {three_digits(max(self.ratios))}" if len(self.ratios) > 1 else ""
        return (
            f"{self.row}",
            self.what,
            f"{three_digits(median(self.ours))} {self.unit}",
            f"{three_digits(median(self.peer))} {self.unit}" if self.peer else "",
            three_digits(self.ratio) if self.ratio is not None else "",
            spread,
            f"{self.goal.sense} {self.goal.bound:g}" if self.goal else "",
            {True: "reached", False: "MISSED", None: ""}[self.reached],
        )


def three_digits(value: float) -> str:
    """Return ``value`` with three significant digits."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def table(lines: Sequence[Line]) -> str:
    """Return all lines as a Markdown table."""
    cells = [_HEADER, *(line.cells() for line in lines)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(_HEADER))]
    rule = ["-" * width for width in widths]
    padded = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in cells]
    return "\n".join(f"| {' | '.join(row)} |" for row in [padded[0], rule, *padded[1:]])
