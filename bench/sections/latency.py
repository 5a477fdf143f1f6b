"""Rows 5 and 6: latency of one item from request to answer, and of accepting 1,000, on an idle system."""

import json
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from statistics import median, quantiles

import psycopg
from pydantic import TypeAdapter

from bench.bursts import check
from bench.keys import fresh
from bench.peer import Peers
from bench.report.lines import Goal, Line
from bench.rows import bodies
from bench.servers import Caller, Servers
from bench.sizes import Sizes
from schemas.case_attachment import CaseAttachment
from schemas.kinds import UPSERT
from worker.ledger.uuid7 import new_batch_id

_BATCH_ITEMS = 1000
_COPY = "COPY item (batch_id, position, acceptance, kind, key, payload) FROM STDIN"
_items = TypeAdapter(list[CaseAttachment])


def single(servers: Servers, sizes: Sizes) -> list[Line]:
    """Row 5: one item, PUT → 207, against a Celery task: alone, behind FastAPI, and with recording."""
    ours: list[list[float]] = []
    alone: list[list[float]] = []
    behind: list[list[float]] = []
    recorded: list[list[float]] = []
    peers = Peers(servers)
    with (
        peers.serving("celery_tasks") as driver,
        peers.application("celery_behind_fastapi", processes=1) as behind_url,
        peers.application("celery_recording", processes=1) as recording_url,
    ):
        fastapi, recording = (
            partial(Caller, url, {"Content-Type": "application/json"}) for url in (behind_url, recording_url)
        )
        for connect in (servers.caller, fastapi, recording):
            _time_puts(connect, 20)
        for _ in range(sizes.rounds):
            driver.prepare(first=fresh(sizes.singles), count=sizes.singles, wait=True)
            driver.go()
            alone.append([1000 * seconds for seconds in driver.end().times])
            behind.append(_time_puts(fastapi, sizes.singles))
            ours.append(_time_puts(servers.caller, sizes.singles))
            recorded.append(_time_puts(recording, sizes.singles))
    what = "one item, PUT to 207, idle"
    return [
        _median_line(f"{what}: (a) waiting", ours, alone, Goal("≤", 1)),
        Line(5, f"{what}: (a) waiting", "ms, 99 %", [*map(_percentile_99, ours)], [*map(_percentile_99, alone)]),
        _median_line(f"{what}: (a) behind FastAPI", ours, behind),
        _median_line("(a) behind FastAPI: (a) alone", behind, alone),
        _median_line(f"{what}: (a) that records", ours, recorded),
        _median_line("(a) that records: (a) alone", recorded, alone),
    ]


def _median_line(what: str, ours: list[list[float]], peer: list[list[float]], goal: Goal | None = None) -> Line:
    return Line(5, what, "ms, median", [*map(median, ours)], [*map(median, peer)], goal)


def _percentile_99(times: list[float]) -> float:
    return quantiles(times, n=100)[98]


def _time_puts(connect: Callable[[], Caller], count: int) -> list[float]:
    """Return the milliseconds of each of ``count`` batches of one."""
    times = []
    with closing(connect()) as caller:
        for body in bodies(fresh(count), count, 1):
            answer = caller.put(body)
            check(answer)
            times.append(1000 * answer.seconds)
    return times


def accept(servers: Servers, sizes: Sizes) -> list[Line]:
    """Row 6: accept of 1,000 items with respond-async against validating them and one COPY with its commit."""
    ours: list[float] = []
    floor: list[float] = []
    with closing(servers.caller()) as caller, servers.connect("peers") as database:
        for body in bodies(fresh(_BATCH_ITEMS * sizes.accepts), sizes.accepts, _BATCH_ITEMS):
            ours.append(_time_accept(caller, body))
            floor.append(_time_floor(database, body))
        database.execute("TRUNCATE item")
    return [Line(6, "accept of 1,000 with respond-async: validating + COPY", "ms", ours, floor, Goal("≤", 3))]


def _time_accept(caller: Caller, body: bytes) -> float:
    answer = caller.put(body, Prefer="respond-async")
    href = json.loads(answer.body)["batch"]["href"]
    caller.send("GET", href, Prefer="wait=30")  # the next one must find an idle system
    return 1000 * answer.seconds


def _time_floor(database: psycopg.Connection, body: bytes) -> float:
    began = time.perf_counter()
    batch_id = new_batch_id()
    with database.transaction(), database.cursor() as cursor, cursor.copy(_COPY) as copy:
        for position, item in enumerate(_items.validate_json(body)):
            payload = item.model_dump_json(by_alias=True, exclude_defaults=True)
            copy.write_row((batch_id, position, 1, UPSERT, item.case_attachment_key, payload))
    return 1000 * (time.perf_counter() - began)
