"""Rows 1 and 2: items a second over HTTP, in large and in small batches, against every peer."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from functools import partial
from statistics import median

from bench.bursts import burst
from bench.keys import fresh
from bench.peer import PROCESSES, Peers
from bench.report.lines import Goal, Line
from bench.rows import bodies
from bench.servers import Caller, Servers
from bench.sizes import Sizes

LARGE, SMALL = 1000, 10
_LARGE_CLIENTS, _SMALL_CLIENTS = 4, 10
QUEUES = {
    "celery_tasks": "(a) Celery",
    "dramatiq_tasks": "(b) Dramatiq",
    "taskiq_tasks": "(c) taskiq",
    "procrastinate_tasks": "(d) Procrastinate",
}
_APPLICATION = "(e) FastAPI alone"
_LIMIT = "(f) psycopg alone"
_LIMITS = f"(f) in {PROCESSES} processes"
Rates = dict[str, list[float]]


def measure(servers: Servers, sizes: Sizes) -> list[Line]:
    """Measure every candidate once a round; each round begins with another candidate."""
    peers = Peers(servers)
    large = partial(_measure_burst, servers.caller, LARGE, sizes.large_batches, _LARGE_CLIENTS)
    small = partial(_measure_burst, servers.caller, SMALL, sizes.small_batches, _SMALL_CLIENTS)
    _measure_burst(servers.caller, LARGE, 4, 2)  # warm-up: plans and connections
    rates: Rates = defaultdict(list)
    turns: list[Callable[[], dict[str, float]]] = [
        lambda: {"ours": large(), "ours, small": small()},
        *(partial(_measure_queue, peers, module, name, sizes) for module, name in QUEUES.items()),
        partial(_measure_application, peers, sizes),
        partial(_measure_limit, peers, sizes),
    ]
    for number in range(sizes.rounds):
        start = 2 * number % len(turns)
        for turn in turns[start:] + turns[:start]:
            for name, rate in turn().items():
                rates[name].append(rate)
    return _lines(rates)


def _lines(rates: Rates) -> list[Line]:
    def against(row: int, ours: str, peer: str, goal: Goal | None) -> Line:
        size = LARGE if row == 1 else SMALL
        return Line(row, f"batches of {size:,}: {peer}", "items/s", rates[ours], rates[peer], goal)

    first, *others = QUEUES.values()
    return [
        against(1, "ours", first, Goal("≥", 20)),
        *(against(1, "ours", name, Goal("≥", 1)) for name in others),
        against(1, "ours", _APPLICATION, None),
        against(1, "ours", _LIMIT, Goal("≥", 0.25)),
        against(1, "ours", _LIMITS, None),
        against(2, "ours, small", first, Goal("≥", 5)),
        *(against(2, "ours, small", name, Goal("≥", 1)) for name in others),
        against(2, "ours, small", f"{_APPLICATION}, small", None),
    ]


def _measure_burst(caller: Callable[[], Caller], size: int, batches: int, clients: int) -> float:
    sent = bodies(fresh(size * batches), batches, size)
    with ExitStack() as stack:
        callers = [stack.enter_context(closing(caller())) for _ in range(clients)]
        return size * batches / burst(callers, sent)


def _measure_queue(peers: Peers, module: str, name: str, sizes: Sizes) -> dict[str, float]:
    with peers.serving(module) as driver:
        return {name: sizes.peer_items / peers.carry_out(driver, 1, sizes.peer_items)}


def _measure_application(peers: Peers, sizes: Sizes) -> dict[str, float]:
    with peers.application("fastapi_app") as url:
        peers.servers.empty_peers()

        def caller() -> Caller:
            return Caller(url, {"Content-Type": "application/json"})

        _measure_burst(caller, LARGE, 4, 2)
        large = _measure_burst(caller, LARGE, sizes.large_batches, _LARGE_CLIENTS)
        return {
            _APPLICATION: large,
            f"{_APPLICATION}, small": _measure_burst(caller, SMALL, sizes.small_batches, _SMALL_CLIENTS),
        }


def _measure_limit(peers: Peers, sizes: Sizes) -> dict[str, float]:
    count = LARGE * sizes.large_batches
    alone = psycopg_rate(peers, count, LARGE, 1)
    return {_LIMIT: alone, _LIMITS: psycopg_rate(peers, count, LARGE, PROCESSES)}


def psycopg_rate(peers: Peers, count: int, chunk: int, processes: int) -> float:
    """Return the rows a second that ``processes`` of psycopg alone write into an empty table."""
    peers.servers.empty_peers()
    share = count // processes
    with ExitStack() as stack:
        drivers = [stack.enter_context(peers.driver("psycopg_alone")) for _ in range(processes)]
        for number, driver in enumerate(drivers):
            driver.prepare(first=1 + number * share, count=share, chunk=chunk)
        for driver in drivers:
            driver.go()
        slowest = max(sum(driver.end().times) for driver in drivers)
    return share * processes / slowest


def rates_of(lines: Sequence[Line]) -> dict[str, float]:
    """Return the median rate of each candidate of row 1 by name, ours included; empty if not measured."""
    first = [line for line in lines if line.row == 1]
    found = {line.what.partition(": ")[2]: median(line.peer) for line in first}
    return {"Limpet": median(first[0].ours), **found} if first else {}
