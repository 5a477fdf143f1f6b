"""The faults: their targets and actions, and how each is injected and confirmed."""

import random
import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count, cycle
from pathlib import Path
from threading import Lock

import redis

from chaos.processes import Process, children, parts

_STOP_TIMEOUT_SECONDS = 2.0
# A worker finishes the tasks it has begun.
_DEATH_SECONDS = {"TERM": 60.0, "INT": 30.0, "QUIT": 30.0, "KILL": 10.0}
_MAX_STOP_SECONDS = {"worker child": 13.0}  # past its lease
_STOP_SECONDS = (1.0, 5.0)


@dataclass(frozen=True, slots=True)
class Fault:
    """A part of the stack, and the signal (or FLUSHALL) that hits it."""

    target: str
    action: str

    def __str__(self) -> str:
        """Return the fault's name in reports."""
        return f"{self.target} {self.action}"


_COMMON = ("TERM", "KILL", "STOP")
ACTIONS = {
    # No TERM: under `limpet up`, Celery's child processes ignore it.
    "worker child": ("KILL", "STOP"),
    "worker parent": _COMMON,
    "relay": _COMMON,
    "beat": _COMMON,
    "api": _COMMON,
    "up": _COMMON,
    "valkey": _COMMON,
    # TERM would wait for every client to leave; INT is the fast shutdown, QUIT the immediate one.
    "postgres": ("INT", "QUIT", "KILL", "STOP"),
    "s3": _COMMON,
}
FLUSH = Fault("valkey", "FLUSHALL")
FAULTS = (*(Fault(target, action) for target, actions in ACTIONS.items() for action in actions), FLUSH)
_PARTS = {"worker child": "worker", "worker parent": "worker", "valkey": "redis"}


def draw_faults(rng: random.Random) -> Iterator[Fault]:
    """Yield faults without end: each round has every target once, with its next action, and FLUSHALL."""
    actions = {target: cycle(rng.sample(actions, len(actions))) for target, actions in ACTIONS.items()}
    for number in count():
        # Only in every other round: the whole stack takes long to start.
        targets = [target for target in ACTIONS if target != "up" or number % 2 == 0]
        round_ = [*(Fault(target, next(actions[target])) for target in targets), FLUSH]
        yield from rng.sample(round_, len(round_))


@dataclass
class Tally:
    """Counts the confirmed faults, and keeps the longest recovery of each, in seconds."""

    made: Counter[Fault] = field(default_factory=Counter)
    longest: dict[Fault, float] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)

    def happened(self, fault: Fault) -> None:
        """Count a confirmed fault."""
        with self.lock:
            self.made[fault] += 1

    def recovered(self, fault: Fault, seconds: float) -> None:
        """Record the time of a recovery."""
        with self.lock:
            self.longest[fault] = max(seconds, self.longest.get(fault, 0.0))

    def missing(self, *, every_action: bool) -> list[str]:
        """Return the faults, or with ``every_action`` unset the targets, that are still missing."""
        with self.lock:
            if every_action:
                return [str(fault) for fault in FAULTS if not self.made[fault]]
            injected = {fault.target for fault, count in self.made.items() if count}
            return [target for target in ACTIONS if target not in injected] + ([] if self.made[FLUSH] else [str(FLUSH)])


def find_targets(data: Path, up: Process, fault: Fault, rng: random.Random) -> list[Process]:
    """Return the processes of the stack under ``up`` that the fault hits; none if the part is down."""
    if fault.target == "up":
        return [up]
    running = parts(data, _PARTS.get(fault.target, fault.target), up.pid)
    if fault.target == "worker child":
        running = [child for parent in running for child in children(parent)]
    if not running:
        return []
    one = rng.choice(running)
    # PostgreSQL hangs only if all of its processes do.
    return [one, *children(one)] if fault == Fault("postgres", "STOP") else [one]


def inject(fault: Fault, processes: Sequence[Process], seconds: float) -> bool:
    """Inject the fault and wait for its effect (a stop lasts ``seconds``); return whether it was observed."""
    if fault.action != "STOP":
        # A process that had ended before the signal did not die of it.
        first, number = processes[0], signal.Signals[f"SIG{fault.action}"]
        return first.send(number) and first.await_state("", _DEATH_SECONDS[fault.action])
    try:
        for process in processes:
            process.send(signal.SIGSTOP)
        seen = processes[0].await_state("T", _STOP_TIMEOUT_SECONDS)
        time.sleep(seconds)
        return seen
    finally:
        for process in processes:
            process.send(signal.SIGCONT)


def draw_stop_seconds(fault: Fault, rng: random.Random) -> float:
    """Return the length of a stop."""
    return rng.uniform(_STOP_SECONDS[0], _MAX_STOP_SECONDS.get(fault.target, _STOP_SECONDS[1]))


def flush(variables: Mapping[str, str]) -> bool:
    """Empty the broker; return whether it confirmed."""
    url = variables["LIMPET_BROKER_URL"]
    try:
        with redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2) as connection:
            return bool(connection.flushall())
    except redis.exceptions.RedisError:
        return False
