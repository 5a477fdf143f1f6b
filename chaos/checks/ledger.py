"""Checks the ledger, read only: its batches, their ends, counters and order of acceptance."""

import time
from collections import Counter
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg

from chaos.checks.findings import Findings
from chaos.load.calls import Calls, Span
from chaos.load.requests import Load, RequestItem
from worker.verdicts import OUTCOMES

_OPEN = """
    SELECT (SELECT count(*) FROM batch WHERE finished_at IS NULL), (SELECT count(*) FROM chunk WHERE state <> 'done'),
           (SELECT count(*) FROM item WHERE outcome IS NULL)
"""


def wait_until_done(database: psycopg.Connection, seconds: float) -> float:
    """Wait until nothing is open, at most ``seconds``; return the seconds waited."""
    began = time.monotonic()
    while database.execute(_OPEN).fetchone() != (0, 0, 0) and time.monotonic() - began < seconds:
        time.sleep(0.2)
    return time.monotonic() - began


_BATCHES = """
    SELECT b.id, coalesce(b.idempotency_key, i.name), b.parent_id, b.kind, b.total,
           (SELECT count(*) FROM item WHERE item.batch_id = b.id),
           (SELECT coalesce(max(position) + 1, 0) FROM item WHERE item.batch_id = b.id)
    FROM batch AS b LEFT JOIN import AS i ON i.batch_id = b.id
"""


@dataclass(frozen=True, slots=True)
class Origin:
    """Origin of a batch: the name of its request or import, None for a retry; and its span."""

    name: str | None
    span: Span


@dataclass
class Ledger:
    """The batches, with the requests that they come from."""

    database: psycopg.Connection
    load: Load
    calls: Calls
    findings: Findings

    def __post_init__(self) -> None:
        """Read the batches, and compare them with what was sent."""
        self.origins: dict[UUID, Origin] = {}
        self.retries: Counter[str] = Counter()
        named: dict[str, int] = {}
        for batch, name, parent, kind, total, items, last in self.database.execute(_BATCHES):
            if not total == items == last:
                self.findings.note("differing", f"batch {batch} says {total} items, has {items}, the last at {last}")
            self.origins[batch] = Origin(name, self.calls.spans.get(name or str(batch), Span()))
            if name is not None:
                self._compare(name, items, already=named.get(name, 0))
                named[name] = items
            elif parent is not None:
                self.retries[kind] += 1
            else:
                self.findings.note("doubled", f"batch {batch}, which no client sent", items)
        for name in self.calls.spans.keys() - named.keys() - {str(batch) for batch in self.origins}:
            self.findings.note("lost", f"all of {name}")
        self.of_acceptance: dict[int, UUID] = dict(
            self.database.execute("SELECT DISTINCT acceptance, batch_id FROM chunk").fetchall()
        )

    def wanted(self, name: str) -> tuple[RequestItem, ...]:
        """Return the items of the request or import ``name``."""
        is_import = name.startswith(("import", "relay"))
        return self.load.rows(name) if is_import else self.load.request(name).items

    def _compare(self, name: str, items: int, already: int) -> None:
        sent = len(self.wanted(name))
        if already or items > sent:
            more = items if already else items - sent
            self.findings.note("doubled", f"{name}: {sent} were sent, {already + items} are there", more)
        if items < sent:
            self.findings.note("lost", f"{name}: {sent} were sent, {items} are there", sent - items)


_SUMS = ", ".join(f"count(*) FILTER (WHERE i.outcome = '{o}')" for o in OUTCOMES)
_OWN = ", ".join(f"c.{o}" for o in OUTCOMES)
_COUNTERS = f"""
    SELECT c.id FROM chunk AS c JOIN item AS i ON i.batch_id = c.batch_id AND i.position BETWEEN c.first AND c.last
    GROUP BY c.id HAVING ({_SUMS}) IS DISTINCT FROM ({_OWN}) OR count(*) <> c.last - c.first + 1
"""
_TWICE = """
    SELECT record, key, acceptance, position, count(*) FROM chaos_effect GROUP BY 1, 2, 3, 4 HAVING count(*) > 1
"""


def check_states(database: psycopg.Connection, findings: Findings) -> None:
    """Note open items, wrong counters, and effects that came twice."""
    batches, chunks, items = _one(database, _OPEN)
    if batches or chunks or items:
        findings.note("lost", f"{items} items, {chunks} chunks and {batches} batches are still open", items or 1)
    for (chunk,) in database.execute(_COUNTERS):
        findings.note("differing", f"the counters of chunk {chunk} are not its items")
    for record, key, acceptance, position, count in database.execute(_TWICE):
        findings.note("doubled", f"item {acceptance}.{position} changed {record} {key} {count} times", count - 1)


def check_acceptance(ledger: Ledger, findings: Findings) -> None:
    """Note requests that were sent after the answer to another, but accepted before it."""
    placed = [(ledger.origins[batch].span, acceptance) for acceptance, batch in ledger.of_acceptance.items()]
    by_answer = sorted(placed, key=lambda entry: entry[0].answered)
    highest, next_answered = 0, 0
    for span, acceptance in sorted(placed, key=lambda entry: entry[0].sent):
        while next_answered < len(by_answer) and by_answer[next_answered][0].answered < span.sent:
            highest = max(highest, by_answer[next_answered][1])
            next_answered += 1
        if acceptance < highest:
            findings.note("out of order", f"{acceptance} was sent after {highest} had been answered")


def _one(database: psycopg.Connection, statement: str) -> tuple[Any, ...]:
    row = database.execute(statement).fetchone()
    assert row is not None
    return row
