"""Probes: each returns once the part that a fault hit works again, seen from outside."""

import itertools
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from chaos.load.calls import Calls, GaveUpError, Span
from chaos.load.requests import Load
from chaos.processes import parts

_POLL_SECONDS = 0.05


@dataclass
class Probes:
    """The probes of one stack; threads share them. Each raises GaveUpError if the run ends first."""

    calls: Calls
    load: Load
    data: Path
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def await_recovery(self, target: str, up: int) -> None:
        """Return once the target works again; ``up`` is the pid of `limpet up`."""
        if target == "relay":
            self._await_relay()
        elif target == "beat":
            self._await_beat(up)
        else:
            self._await_item()

    def _await_item(self) -> None:
        """Send an item with content and wait for its end: it passes API, ledger, broker, worker and store."""
        with self.calls.client() as http:
            answer = self.calls.send(http, self.load.request(f"probe.{next(self._numbers)}"))
            self.calls.await_end(http, answer.json()["batch"]["href"])

    def _await_relay(self) -> None:
        """Send a row of an import with a pace, which only the relay publishes, and wait for its end."""
        calls, name = self.calls, f"relay.{next(self._numbers)}"
        calls.spans[name] = Span(time.monotonic())
        wanted = {"name": name, "fingerprint": name, "rowsPerSecond": 1000}
        with calls.client() as http:
            opened = calls.ask(lambda: http.post("/imports", json=wanted)).json()
            calls.ask(lambda: http.put(f"/imports/{opened['id']}/rows?from=0", content=self._line(name)))
            calls.ask(lambda: http.post(f"/imports/{opened['id']}/close"))
            calls.await_end(http, opened["batch"])

    def _line(self, name: str) -> bytes:
        (row,) = self.load.rows(name)
        item = {"caseAttachment_Key": row.key, "case_Key": 1, **row.fields}
        return json.dumps({"line": 2, "item": item}).encode() + b"\n"

    def _await_beat(self, up: int) -> None:
        """Wait for beat's process; its messages are too rare to wait for."""
        while not any(process.state in "SR" for process in parts(self.data, "beat", up)):
            if self.calls.give_up.wait(_POLL_SECONDS):
                raise GaveUpError
