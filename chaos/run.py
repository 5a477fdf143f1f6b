"""One run: starts the stack, the clients and the faults, and checks the result."""

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
from chaos.checks.store import Store, check_answers, request_collection
from chaos.faults.actions import FAULTS, Tally
from chaos.faults.injector import FaultInjector
from chaos.faults.probes import Probes
from chaos.load.calls import Calls
from chaos.load.clients import Clients
from chaos.load.requests import Load
from chaos.stack import Stack

LONG_RUN_MINUTES = 5.0  # a run this long must inject every action into every target
_DRAIN_SECONDS = 180.0
# LIMPET_COLLECT_AFTER of a long run and of a short one, which waits for it at its end; the default is an hour. It must
# exceed the longest write to a store under faults: an object removed during its write stays for good.
_COLLECT_AFTER_SECONDS, _COLLECT_SOON_SECONDS = 60, 30
_COLLECT_PAUSE_SECONDS = 20.0
_MAX_READ_RECORDS = 200
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Options:
    """Options of one run."""

    data: Path
    minutes: float
    seed: int

    @property
    def long(self) -> bool:
        """Whether the run has time for every kind of fault and a heavy load."""
        return self.minutes >= LONG_RUN_MINUTES


def run(options: Options, say: Say) -> bool:
    """Run and report; return whether every promise was kept and every kind of fault was injected."""
    os.environ["LIMPET_COLLECT_AFTER"] = str(_COLLECT_AFTER_SECONDS if options.long else _COLLECT_SOON_SECONDS)
    say(f"chaos: seed {options.seed}, {options.minutes:g} minutes, data in {options.data}")
    tally, findings = Tally(), Findings()
    with Stack(options.data) as stack:
        clients = Clients(Load(options.seed, small=not options.long), Calls(stack.variables), options.data / "imports")
        _run_faults(options, stack, clients, tally)
        with stack.database() as database:
            drained = wait_until_done(database, _DRAIN_SECONDS)
            _report_faults(tally, say)
            say(f"all was done {drained:.1f} s after the last answer")
            _check(stack, clients, findings, say)
    for text in [*findings.shown, *clients.errors]:
        say(text)
    missing = tally.missing(every_action=options.long)
    if missing:
        say(f"no run: these faults did not happen: {', '.join(missing)}")
    say(str(findings))
    return not (findings.counts.total() or clients.errors or missing)


def _run_faults(options: Options, stack: Stack, clients: Clients, tally: Tally) -> None:
    clients.start(*((2, 3) if options.long else (1, 2)))
    over = threading.Event()
    clients.spawn(_request_collections, stack, over)
    rng = random.Random(f"{options.seed} storm")
    probes = Probes(clients.calls, clients.load, stack.data)
    injector = FaultInjector(stack, clients, probes, tally, rng, pause=2.0 if options.long else 0.8)
    try:
        injector.run(60 * options.minutes, every_action=options.long)
    except BaseException:
        clients.calls.give_up.set()
        raise
    finally:
        over.set()
        clients.end(_DRAIN_SECONDS)


def _request_collections(stack: Stack, over: threading.Event) -> None:
    while not over.wait(_COLLECT_PAUSE_SECONDS):
        try:
            request_collection(stack.variables)
        except (KombuError, RedisError, OSError):
            continue  # a fault has hit the broker


def _report_faults(tally: Tally, say: Say) -> None:
    say(f"{'fault':<22} {'made':>5} {'longest recovery':>18}")
    for fault in FAULTS:
        if count := tally.made[fault]:
            longest = f"{tally.longest[fault]:.1f} s" if fault in tally.longest else "none"
            say(f"{fault!s:<22} {count:>5} {longest:>18}")
    kinds = sum(1 for fault in FAULTS if tally.made[fault])
    say(f"{tally.made.total()} faults of {kinds} kinds")


def _check(stack: Stack, clients: Clients, findings: Findings, say: Say) -> None:
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
        check_answers(clients.calls, replay, findings, _MAX_READ_RECORDS)
    ends = ", ".join(f"{count:,} {outcome}" for outcome, count in replay.outcomes.most_common())
    retries = ", ".join(f"{count:,} of {kind}" for kind, count in sorted(ledger.retries.items())) or "none"
    say(f"{len(ledger.origins):,} batches, {clients.imports} imports, {clients.calls.repeats:,} requests repeated")
    say(f"retries: {retries}")
    say(f"{replay.outcomes.total():,} items accepted: {ends}")
    say(f"{replay.answered:,} items had ended when their request was answered")
    say(f"{records:,} records and {blobs:,} blobs compared, bytes and all")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    say(f"the harness itself took {memory} MB at most")
