"""One run: the stack, the clients, the storm, and the reckoning at the end."""

import os
import random
import resource
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from chaos.checks.findings import Findings
from chaos.checks.ledger import Ledger, check_acceptance, check_states, wait_until_done
from chaos.checks.replay import Replay
from chaos.checks.store import Store, check_answers, ring_collector
from chaos.faults.probes import Probes
from chaos.faults.storm import Storm
from chaos.faults.strikes import FAULTS, Tally
from chaos.load.calls import Calls
from chaos.load.clients import Clients
from chaos.load.requests import Load
from chaos.stack import Stack

LONG = 5.0  # minutes from which on every victim must be struck in every way
_DRAIN = 180.0  # seconds
# Seconds, of a long run and of a short one, which waits for them at its end; in the product an hour. Longer than a
# store that is struck again and again lets a write wait: what is removed while it is being written stays for good.
_COLLECT_AFTER, _SOON = 60, 30
_COLLECT_EVERY = 20.0
_READ_BACK = 200  # records
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Options:
    """What one run is asked to do."""

    data: Path
    minutes: float
    seed: int

    @property
    def long(self) -> bool:
        """Whether there is time for every kind of fault, and a heavy load."""
        return self.minutes >= LONG


def run(options: Options, say: Say) -> bool:
    """Run, say what happened, and return whether every promise was kept and every kind of fault was made."""
    os.environ["LIMPET_COLLECT_AFTER"] = str(_COLLECT_AFTER if options.long else _SOON)
    say(f"chaos: seed {options.seed}, {options.minutes:g} minutes, data in {options.data}")
    tally, findings = Tally(), Findings()
    with Stack(options.data) as stack:
        clients = Clients(Load(options.seed, small=not options.long), Calls(stack.variables), options.data / "imports")
        _storm(options, stack, clients, tally)
        with stack.database() as database:
            drained = wait_until_done(database, _DRAIN)
            _tell_faults(tally, say)
            say(f"all was done {drained:.1f} s after the last answer")
            _reckon(stack, clients, findings, say)
    for text in [*findings.shown, *clients.broken]:
        say(text)
    missing = tally.missing(every_blow=options.long)
    if missing:
        say(f"no run: these faults did not happen: {', '.join(missing)}")
    say(str(findings))
    return not (findings.counts.total() or clients.broken or missing)


def _storm(options: Options, stack: Stack, clients: Clients, tally: Tally) -> None:
    clients.start(*((2, 3) if options.long else (1, 2)))
    calm = threading.Event()
    clients.spawn(_collect_now_and_then, stack, calm)
    dice = random.Random(f"{options.seed} storm")
    probes = Probes(clients.calls, clients.load, stack.data)
    storm = Storm(stack, clients, probes, tally, dice, pause=2.0 if options.long else 0.8)
    try:
        storm.run(60 * options.minutes, every_blow=options.long)
    except BaseException:
        clients.calls.give_up.set()
        raise
    finally:
        calm.set()
        clients.end(_DRAIN)


def _collect_now_and_then(stack: Stack, calm: threading.Event) -> None:
    while not calm.wait(_COLLECT_EVERY):
        try:
            ring_collector(stack.variables)
        except (KombuError, RedisError, OSError):
            continue  # the broker is being struck


def _tell_faults(tally: Tally, say: Say) -> None:
    say(f"{'fault':<22} {'made':>5} {'longest recovery':>18}")
    for fault in FAULTS:
        if count := tally.made[fault]:
            longest = f"{tally.longest[fault]:.1f} s" if fault in tally.longest else "none"
            say(f"{fault!s:<22} {count:>5} {longest:>18}")
    kinds = sum(1 for fault in FAULTS if tally.made[fault])
    say(f"{tally.made.total()} faults of {kinds} kinds")


def _reckon(stack: Stack, clients: Clients, findings: Findings, say: Say) -> None:
    with stack.database() as database:
        check_states(database, findings)
        ledger = Ledger(database, clients.load, clients.calls, findings)
        check_acceptance(ledger, findings)
        replay = Replay(ledger, findings)
        replay.run(database)
        records = replay.compare_records(database)
        store = Store(stack.variables, database, findings)
        store.await_collector()
        blobs = store.check()
        check_answers(clients.calls, replay, findings, _READ_BACK)
    ends = ", ".join(f"{count:,} {outcome}" for outcome, count in replay.outcomes.most_common())
    retries = ", ".join(f"{count:,} of {kind}" for kind, count in sorted(ledger.retries.items())) or "none"
    say(f"{len(ledger.origins):,} batches, {clients.imports} imports, {clients.calls.repeats:,} requests repeated")
    say(f"retries: {retries}")
    say(f"{replay.outcomes.total():,} items accepted: {ends}")
    say(f"{replay.told:,} items had ended when their request was answered")
    say(f"{records:,} records and {blobs:,} blobs compared, bytes and all")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    say(f"the harness itself took {memory} MB at most")
