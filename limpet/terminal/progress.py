"""Show the progress of an import: one line on a terminal, JSON lines for machines, else nothing."""

import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TextIO

from schemas.answers import Outcome

FAILED_OUTCOMES: tuple[Outcome, ...] = ("invalid", "failed", "cancelled")
_PERIOD_SECONDS = 0.5
_BAR_CELLS = 20
_UNITS = ("B", "KB", "MB", "GB", "TB")


@dataclass
class Progress:
    """The progress so far. ``share`` is the part of the manifest that was read, from 0 to 1."""

    sent: int = 0
    done: int = 0
    failed: int = 0
    bytes: int = 0
    share: float = 0.0
    paused: bool = False
    began: float = field(default_factory=time.monotonic)
    first: int | None = None

    def count(self, counts: Mapping[Outcome, int], total: int) -> None:
        """Update from the counts of the batch."""
        self.done = total - counts.get("pending", 0)
        self.failed = sum(counts.get(outcome, 0) for outcome in FAILED_OUTCOMES)
        if self.first is None:
            self.first = self.done

    @property
    def rate(self) -> float:
        """Rows per second since the start of this command."""
        elapsed = time.monotonic() - self.began
        return (self.done - (self.first or 0)) / elapsed if elapsed > 0 else 0.0

    @property
    def total(self) -> float | None:
        """The estimated number of rows, if the rest of the manifest is like the part that was read."""
        return self.sent / self.share if self.share else None

    @property
    def eta(self) -> float | None:
        """The estimated seconds that remain at this rate."""
        if not (self.rate and self.total):
            return None
        return max(0.0, (self.total - self.done) / self.rate)


class ProgressReporter:
    """Shows progress on a terminal or as JSON lines, limited to two a second."""

    def __init__(self, *, as_json: bool, screen: TextIO | None = sys.stderr) -> None:
        self.as_json = as_json
        self._screen = screen if screen is not None and screen.isatty() and not as_json else None
        self._next = 0.0

    def show(self, progress: Progress, *, last: bool = False) -> None:
        """Show ``progress``, unless the last one was shown less than a period ago; ``last`` is always shown."""
        now = time.monotonic()
        if not last and now < self._next:
            return
        self._next = now + _PERIOD_SECONDS
        if self.as_json:
            self.event("progress", facts(progress))
        elif self._screen is not None:
            # A line that wraps could not be overwritten.
            columns = os.get_terminal_size(self._screen.fileno()).columns or 80
            self._screen.write("\r\x1b[K" + line(progress)[: columns - 1] + ("\n" if last else ""))
            self._screen.flush()

    def event(self, name: str, values: dict[str, object]) -> None:
        """Print one JSON line if JSON was requested."""
        if self.as_json:
            sys.stdout.write(json.dumps({"event": name, **values}) + "\n")
            sys.stdout.flush()


def facts(progress: Progress) -> dict[str, object]:
    """Return the progress for machines."""
    values = {name: value for name, value in asdict(progress).items() if name not in ("began", "first")}
    eta = progress.eta
    return {
        **values,
        "share": round(progress.share, 4),
        "rate": round(progress.rate, 1),
        "eta": None if eta is None else round(eta, 1),
    }


def line(progress: Progress) -> str:
    """Return the progress for people: a bar, then figures, the most important first."""
    share = min(1.0, progress.done / progress.total) if progress.total else 0.0
    parts = [
        f"{progress.done:,} done of {progress.sent:,} sent",
        f"{progress.failed:,} failed",
        f"{progress.rate:,.0f} rows/s",
    ]
    if progress.bytes:
        parts.append(f"{size(progress.bytes)} uploaded")
    if progress.paused:
        parts.insert(0, "paused")
    elif (eta := progress.eta) is not None:
        minutes, seconds = divmod(int(eta), 60)
        parts.insert(0, f"{minutes}:{seconds:02} left")
    return f"[{'#' * int(_BAR_CELLS * share):.<{_BAR_CELLS}}] {100 * share:.0f} %  " + ", ".join(parts)


def size(count: float) -> str:
    """Return a number of bytes for people."""
    for unit in _UNITS[:-1]:
        if count < 1000:  # noqa: PLR2004  SI
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} {_UNITS[-1]}"
