"""Injects random faults for a while, and measures the recovery after each."""

import random
import threading
import time
from dataclasses import dataclass, field

from chaos.faults.actions import FLUSH, Fault, Tally, draw_faults, draw_stop_seconds, find_targets, flush, inject
from chaos.faults.probes import Probes
from chaos.load.clients import Clients
from chaos.processes import Process
from chaos.stack import Stack

_MAX_WAITING_FAULTS = 6  # faults that wait until their target is up and no other fault hits it
_EXTRA_SECONDS = 90.0  # for missing kinds of faults, and then for the last recovery
_RECOVERY_SECONDS = 20.0  # before `up` is hit, so that earlier recoveries are measured apart
_POLL_SECONDS = 0.05


@dataclass
class FaultInjector:
    """Injects faults into the stack; belongs to the thread that started the stack."""

    stack: Stack
    clients: Clients
    probes: Probes
    tally: Tally
    rng: random.Random
    pause: float  # mean seconds between two faults
    _busy_targets: set[str] = field(default_factory=set)
    _recoveries: list[threading.Thread] = field(default_factory=list)

    def run(self, seconds: float, *, every_action: bool) -> None:
        """Inject faults for ``seconds``, and up to 90 s longer while a kind of fault is missing."""
        begin = time.monotonic()
        faults = draw_faults(self.rng)
        waiting: list[Fault] = []
        while not self.clients.errors:
            over = time.monotonic() - begin - seconds
            if over > _EXTRA_SECONDS or (over > 0 and not self.tally.missing(every_action=every_action)):
                break
            while len(waiting) < _MAX_WAITING_FAULTS:
                waiting.append(next(faults))
            fault = next((f for f in waiting if f.target not in self._busy_targets), None)
            if fault is not None:
                waiting.remove(fault)
                self._start(fault)
                time.sleep(self.rng.uniform(0, 2 * self.pause))
            time.sleep(_POLL_SECONDS)
        self._let_recover(_EXTRA_SECONDS)

    def _start(self, fault: Fault) -> None:
        if fault.target == "up" and fault.action != "STOP":
            self._restart_stack(fault)
            return
        processes = [] if fault == FLUSH else find_targets(self.stack.data, self.stack.up, fault, self.rng)
        if not processes and fault != FLUSH:
            return  # the target is restarting
        self._busy_targets.add(fault.target)
        seconds = draw_stop_seconds(fault, self.rng)
        self._recoveries.append(self.clients.spawn(self._inject, fault, processes, seconds))

    def _inject(self, fault: Fault, processes: list[Process], seconds: float) -> None:
        began = time.monotonic()
        try:
            happened = inject(fault, processes, seconds) if processes else flush(self.stack.variables)
        finally:
            self._busy_targets.discard(fault.target)
        if happened:
            self._recover(fault, began)

    def _restart_stack(self, fault: Fault) -> None:
        """Hit ``limpet up`` itself after a wait for earlier recoveries, and restart the stack."""
        self._let_recover(_RECOVERY_SECONDS)
        self._busy_targets.add("up")
        began = time.monotonic()
        if inject(fault, [self.stack.up], 0):
            self.stack.restart()
            self._recoveries.append(self.clients.spawn(self._recover, fault, began))
        self._busy_targets.discard("up")

    def _let_recover(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        for thread in self._recoveries:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._recoveries = [thread for thread in self._recoveries if thread.is_alive()]

    def _recover(self, fault: Fault, began: float) -> None:
        self.tally.happened(fault)
        self.probes.await_recovery(fault.target, self.stack.up.pid)
        self.tally.recovered(fault, time.monotonic() - began)
