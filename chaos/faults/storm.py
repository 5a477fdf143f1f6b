"""The storm: strikes at random for a while, and measures after each fault when what it hit works again."""

import random
import threading
import time
from dataclasses import dataclass, field

from chaos.faults.probes import Probes
from chaos.faults.strikes import FLUSH, Fault, Tally, deck, flush, stop_length, strike, targets
from chaos.load.clients import Clients
from chaos.processes import Process
from chaos.stack import Stack

_HAND = 6  # faults that wait until their victim is there and not being struck
_LATE = 90.0  # seconds that a run may last longer for the kinds that are missing, and then for the last recovery
_QUIET = 20.0  # seconds for earlier faults before all is struck, so that their figures are their own
_MOMENT = 0.05


@dataclass
class Storm:
    """Strikes the stack; belongs to the thread that started it."""

    stack: Stack
    clients: Clients
    probes: Probes
    tally: Tally
    dice: random.Random
    pause: float  # mean seconds between two faults
    _struck: set[str] = field(default_factory=set)
    _after: list[threading.Thread] = field(default_factory=list)

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
        self._let_recover(_LATE)

    def _make(self, fault: Fault) -> None:
        if fault.victim == "up" and fault.blow != "STOP":
            self._fell(fault)
            return
        struck = [] if fault == FLUSH else targets(self.stack.data, self.stack.up, fault, self.dice)
        if not struck and fault != FLUSH:
            return  # just being started again
        self._struck.add(fault.victim)
        seconds = stop_length(fault, self.dice)
        self._after.append(self.clients.spawn(self._see_through, fault, struck, seconds))

    def _see_through(self, fault: Fault, struck: list[Process], seconds: float) -> None:
        began = time.monotonic()
        try:
            happened = strike(fault, struck, seconds) if struck else flush(self.stack.variables)
        finally:
            self._struck.discard(fault.victim)
        if happened:
            self._recover(fault, began)

    def _fell(self, fault: Fault) -> None:
        """Strike ``limpet up`` itself, and start it again; the faults before it get some time to be recovered from."""
        self._let_recover(_QUIET)
        self._struck.add("up")
        began = time.monotonic()
        if strike(fault, [self.stack.up], 0):
            self.stack.restart()
            self._after.append(self.clients.spawn(self._recover, fault, began))
        self._struck.discard("up")

    def _let_recover(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        for thread in self._after:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._after = [thread for thread in self._after if thread.is_alive()]

    def _recover(self, fault: Fault, began: float) -> None:
        self.tally.happened(fault)
        self.probes.await_recovery(fault.victim, self.stack.up.pid)
        self.tally.recovered(fault, time.monotonic() - began)
