"""The faults: what is struck, how, and what must be seen before a fault counts."""

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

_SEEN_STOPPED = 2.0
_DEATH = {"TERM": 60.0, "INT": 30.0, "QUIT": 30.0, "KILL": 10.0}  # seconds; a worker finishes what it has begun
_LONGEST_STOP = {"worker child": 13.0}  # past its lease
_STOP = (1.0, 5.0)


@dataclass(frozen=True, slots=True)
class Fault:
    """What is struck, and with which signal (or FLUSHALL)."""

    victim: str
    blow: str

    def __str__(self) -> str:
        """As the run's last lines name it."""
        return f"{self.victim} {self.blow}"


_COMMON = ("TERM", "KILL", "STOP")
BLOWS = {
    # No TERM: as `limpet up` starts workers, Celery lets their children ignore it.
    "worker child": ("KILL", "STOP"),
    "worker parent": _COMMON,
    "relay": _COMMON,
    "beat": _COMMON,
    "api": _COMMON,
    "up": _COMMON,
    "valkey": _COMMON,
    # TERM would wait until every client has left: INT is its fast stop, QUIT its immediate one.
    "postgres": ("INT", "QUIT", "KILL", "STOP"),
    "s3": _COMMON,
}
FLUSH = Fault("valkey", "FLUSHALL")
FAULTS = (*(Fault(victim, blow) for victim, blows in BLOWS.items() for blow in blows), FLUSH)
_PARTS = {"worker child": "worker", "worker parent": "worker", "valkey": "redis"}


def deck(dice: random.Random) -> Iterator[Fault]:
    """Yield faults without end: in each round every victim once, in its next way, and the broker is emptied."""
    ways = {victim: cycle(dice.sample(blows, len(blows))) for victim, blows in BLOWS.items()}
    for number in count():
        # The stack as a whole needs its time to start: only in every other round.
        victims = [victim for victim in BLOWS if victim != "up" or number % 2 == 0]
        hand = [*(Fault(victim, next(ways[victim])) for victim in victims), FLUSH]
        yield from dice.sample(hand, len(hand))


@dataclass
class Tally:
    """Which faults did happen, and the longest time until what they hit worked again, in seconds."""

    made: Counter[Fault] = field(default_factory=Counter)
    longest: dict[Fault, float] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)

    def happened(self, fault: Fault) -> None:
        """Count one that was seen to happen."""
        with self.lock:
            self.made[fault] += 1

    def recovered(self, fault: Fault, seconds: float) -> None:
        """Note how long one took."""
        with self.lock:
            self.longest[fault] = max(seconds, self.longest.get(fault, 0.0))

    def missing(self, *, every_blow: bool) -> list[str]:
        """Return what has not happened: faults, or victims that were not hit in any way."""
        with self.lock:
            if every_blow:
                return [str(fault) for fault in FAULTS if not self.made[fault]]
            hit = {fault.victim for fault, count in self.made.items() if count}
            return [victim for victim in BLOWS if victim not in hit] + ([] if self.made[FLUSH] else [str(FLUSH)])


def targets(data: Path, up: Process, fault: Fault, dice: random.Random) -> list[Process]:
    """Return the processes that the fault strikes, of the stack that ``up`` keeps; none if they are away."""
    if fault.victim == "up":
        return [up]
    there = parts(data, _PARTS.get(fault.victim, fault.victim), up.pid)
    if fault.victim == "worker child":
        there = [child for parent in there for child in children(parent)]
    if not there:
        return []
    one = dice.choice(there)
    # A server of many processes hangs if all of them do.
    return [one, *children(one)] if fault == Fault("postgres", "STOP") else [one]


def strike(fault: Fault, struck: Sequence[Process], seconds: float) -> bool:
    """Strike, wait until it is seen (a stop: until it is over, after ``seconds``), and return whether it was."""
    if fault.blow != "STOP":
        # One that was gone before the blow did not die of it.
        return struck[0].send(signal.Signals[f"SIG{fault.blow}"]) and struck[0].seen("", _DEATH[fault.blow])
    try:
        for process in struck:
            process.send(signal.SIGSTOP)
        seen = struck[0].seen("T", _SEEN_STOPPED)
        time.sleep(seconds)
        return seen
    finally:
        for process in struck:
            process.send(signal.SIGCONT)


def stop_length(fault: Fault, dice: random.Random) -> float:
    """Return for how many seconds a stop lasts."""
    return dice.uniform(_STOP[0], _LONGEST_STOP.get(fault.victim, _STOP[1]))


def flush(variables: Mapping[str, str]) -> bool:
    """Empty the broker; return whether it said that it did."""
    url = variables["LIMPET_BROKER_URL"]
    try:
        with redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2) as connection:
            return bool(connection.flushall())
    except redis.exceptions.RedisError:
        return False
