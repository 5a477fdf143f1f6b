"""Probes: each returns once what a fault has hit works again, seen from outside."""

import itertools
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from chaos.load.calls import Calls, GaveUpError, Span
from chaos.load.requests import Load
from chaos.processes import parts

_MOMENT = 0.05  # seconds


@dataclass
class Probes:
    """The probes of one stack; threads share them. Each raises GaveUpError if it comes to nothing."""

    calls: Calls
    load: Load
    data: Path
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def await_recovery(self, victim: str, up: int) -> None:
        """Return once the victim's work is done again; ``up`` is the process that keeps the parts."""
        if victim == "relay":
            self._relay_rings()
        elif victim == "beat":
            self._beat_runs(up)
        else:
            self._an_item_ends()

    def _an_item_ends(self) -> None:
        """Send an item with content from now on and wait for its end: API, ledger, broker, worker and store."""
        with self.calls.client() as http:
            answer = self.calls.make(http, self.load.request(f"probe.{next(self._numbers)}"))
            self.calls.ended(http, answer.json()["batch"]["href"])

    def _relay_rings(self) -> None:
        """Send an item that only the relay rings for, a row of an import with a pace, and wait for its end."""
        calls, name = self.calls, f"relay.{next(self._numbers)}"
        calls.spans[name] = Span(time.monotonic())
        wanted = {"name": name, "fingerprint": name, "rowsPerSecond": 1000}
        with calls.client() as http:
            opened = calls.insist(lambda: http.post("/imports", json=wanted)).json()
            calls.insist(lambda: http.put(f"/imports/{opened['id']}/rows?from=0", content=self._line(name)))
            calls.insist(lambda: http.post(f"/imports/{opened['id']}/close"))
            calls.ended(http, opened["batch"])

    def _line(self, name: str) -> bytes:
        (row,) = self.load.rows(name)
        item = {"caseAttachment_Key": row.key, "case_Key": 1, **row.fields}
        return json.dumps({"line": 2, "item": item}).encode() + b"\n"

    def _beat_runs(self, up: int) -> None:
        """Wait for its process; what it rings for comes too rarely to wait for."""
        while not any(process.state in "SR" for process in parts(self.data, "beat", up)):
            if self.calls.give_up.wait(_MOMENT):
                raise GaveUpError
