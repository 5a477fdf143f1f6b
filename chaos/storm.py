"""The storm: strikes at random for a while, and measures after each fault when what it hit works again."""

import itertools
import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from chaos.calls import GaveUpError, Span
from chaos.clients import Clients
from chaos.faults import FLUSH, Fault, Tally, deck, flush, stop_length, strike, targets
from chaos.load import Load
from chaos.processes import Process, parts
from chaos.stack import Stack

_HAND = 6  # faults that wait until their victim is there and not being struck
_LATE = 90.0  # seconds that a run may last longer for the kinds that are missing, and then for the last recovery
_MOMENT = 0.05


@dataclass
class Storm:
    """Strikes the stack; belongs to the thread that started it."""

    stack: Stack
    clients: Clients
    tally: Tally
    dice: random.Random
    pause: float  # mean seconds between two faults
    _struck: set[str] = field(default_factory=set)
    _after: list[threading.Thread] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def run(self, seconds: float, *, every_blow: bool) -> None:
        """Strike for so long, and then a little longer if a kind of fault has not happened yet."""
        begin = time.monotonic()
        faults = deck(self.dice)
        hand: list[Fault] = []
        while not self.clients.broken:
            lasted = time.monotonic() - begin
            if lasted > seconds + _LATE or (lasted > seconds and not self.tally.missing(every_blow=every_blow)):
                break
            while len(hand) < _HAND:
                hand.append(next(faults))
            fault = next((f for f in hand if f.victim not in self._struck), None)
            if fault is not None:
                hand.remove(fault)
                self._make(fault)
                time.sleep(self.dice.uniform(0, 2 * self.pause))
            time.sleep(_MOMENT)
        deadline = time.monotonic() + _LATE
        for thread in self._after:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _make(self, fault: Fault) -> None:
        if fault.victim == "up" and fault.blow != "STOP":
            self._fell(fault)
            return
        struck = [] if fault == FLUSH else targets(self.stack, fault, self.dice)
        if not struck and fault != FLUSH:
            return  # just being started again
        self._struck.add(fault.victim)
        seconds = stop_length(fault, self.dice)
        self._after.append(self.clients.spawn(self._see_through, fault, struck, seconds))

    def _see_through(self, fault: Fault, struck: list[Process], seconds: float) -> None:
        began = time.monotonic()
        try:
            happened = strike(fault, struck, seconds) if struck else flush(self.stack)
        finally:
            self._struck.discard(fault.victim)
        if happened:
            self._recover(fault, began)

    def _fell(self, fault: Fault) -> None:
        """Strike ``limpet up`` itself, and start it again."""
        self._struck.add("up")
        began = time.monotonic()
        if strike(fault, [self.stack.up], 0):
            self.stack.restart()
            self._after.append(self.clients.spawn(self._recover, fault, began))
        self._struck.discard("up")

    def _recover(self, fault: Fault, began: float) -> None:
        self.tally.happened(fault)
        probes: dict[str, Callable[[], None]] = {"relay": self._relay_works, "beat": self._beat_works}
        probes.get(fault.victim, self._items_end)()
        self.tally.recovered(fault, time.monotonic() - began)

    def _items_end(self) -> None:
        """Return once an item with content that was sent from now on has ended."""
        calls = self.clients.calls
        with calls.client() as http:
            answer = calls.make(http, self.clients.load.request(f"probe.{next(self._numbers)}"))
            calls.ended(http, answer.json()["batch"]["href"])

    def _relay_works(self) -> None:
        """Return once an item that only the relay rings for has ended: a row of an import with a pace."""
        calls, load = self.clients.calls, self.clients.load
        name = f"relay.{next(self._numbers)}"
        calls.spans[name] = Span(time.monotonic())
        wanted = {"name": name, "fingerprint": name, "rowsPerSecond": 1000}
        with calls.client() as http:
            opened = calls.insist(lambda: http.post("/imports", json=wanted)).json()
            calls.insist(lambda: http.put(f"/imports/{opened['id']}/rows?from=0", content=_line(load, name)))
            calls.insist(lambda: http.post(f"/imports/{opened['id']}/close"))
            calls.ended(http, opened["batch"])

    def _beat_works(self) -> None:
        """Return once beat runs (what it rings for comes too rarely to wait for)."""
        while not any(p.state in "SR" for p in parts(self.stack.data, "beat", self.stack.up.pid)):
            if self.clients.calls.give_up.wait(_MOMENT):
                raise GaveUpError


def _line(load: Load, name: str) -> bytes:
    (row,) = load.rows(name)
    item = {"caseAttachment_Key": row.key, "case_Key": 1, **row.fields}
    return json.dumps({"line": 2, "item": item}).encode() + b"\n"
