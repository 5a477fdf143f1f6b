"""Measures the time of an item by step: carries out each step in this process, statement by statement.

``python -m bench.parts`` prints the processor time of this process and of its PostgreSQL backend (COPY and commits in
one line), for one item and for batches of 1,000. Other load on the machine hardly changes it. Linux only.
"""

import argparse
import hashlib
import json
import os
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg
from sqlalchemy import event

from api_stub.request.entry_content import parse_case_attachments
from api_stub.response import envelopes
from bench.keys import fresh
from bench.rows import bodies
from bench.servers import running_servers
from worker.database import engine, transaction
from worker.execution.deliver import deliver
from worker.ledger.accept import accept
from worker.ledger.model import NewBatch
from worker.ledger.read import report
from worker.settings import settings

_DATABASE = "acme"


class Clock:
    """Milliseconds of processor time by part: of this process, and of its backend by statement."""

    def __init__(self, database: str) -> None:
        self.own: dict[str, list[float]] = defaultdict(list)
        self.backend: dict[str, list[float]] = defaultdict(list)
        self.statements: Counter[str] = Counter()
        self._part = ""
        self._overhead = self._before = self._attributed = 0.0
        self._pid: int | None = None
        found = engine(database)
        event.listen(found, "before_cursor_execute", self._begin)
        event.listen(found, "after_cursor_execute", self._end)
        for name in ("begin", "commit", "savepoint", "release_savepoint"):
            event.listen(found, name, self._count(name))

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Measure the block as the part ``name``."""
        self._part, self._overhead, self._attributed = name, 0.0, 0.0
        before = _processor_time(self._pid)
        began = time.process_time()
        yield
        self.own[name].append(1000 * (time.process_time() - began - self._overhead))
        if self._attributed:
            self._record("COPY, commits and all between", _processor_time(self._pid) - before - self._attributed)

    def _begin(self, _connection: object, cursor: psycopg.Cursor[object], *_: object) -> None:
        began = time.process_time()
        self._pid = cursor.connection.info.backend_pid
        self._before = _processor_time(self._pid)
        self._overhead += time.process_time() - began

    def _end(self, _connection: object, _cursor: object, statement: str, *_: object) -> None:
        began = time.process_time()
        spent = _processor_time(self._pid) - self._before
        self._attributed += spent
        self._record(" ".join(statement.split())[:60], spent)
        self._overhead += time.process_time() - began

    def _record(self, what: str, spent: float) -> None:
        name = f"{self._part}: {what}"
        self.backend[name].append(spent)
        self.statements[name] += 1

    def _count(self, name: str) -> Callable[..., None]:
        def count(*_: object) -> None:
            self.statements[f"{self._part}: {name.upper()}"] += 1

        return count


def _processor_time(pid: int | None) -> float:
    """Return the processor time of the backend ``pid`` in milliseconds; 0 before the warm-up has found its pid."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e6 if pid else 0.0


def one_batch(clock: Clock, body: bytes) -> None:
    """Carry one batch from its body to its answer, as API and worker do."""
    with clock.part("1 read and validate"):
        hashlib.sha256(body).digest()
        items = parse_case_attachments(json.loads(body))
        new = NewBatch("case_attachments", "bench", items)
    with clock.part("2 accept"):
        accepted = accept(_DATABASE, new)
    with clock.part("3 deliver"):
        for message in accepted.messages:
            deliver(_DATABASE, [message.chunk_id], "bench")
    with clock.part("4 report"), transaction(_DATABASE) as session:
        view = report.read_batch(session, accepted.batch_id)
        ends = report.read_items(session, accepted.batch_id, limit=len(items))
    with clock.part("5 answer"):
        assert view is not None
        envelopes.envelope([envelopes.item_status(end) for end in ends], envelopes.brief(view)).model_dump_json(
            by_alias=True
        )


def undisturbed(spent: Sequence[float], batches: int) -> float:
    """Return the undisturbed time of a batch: the mean of the best tenth, times the values per batch."""
    best = sorted(spent)[: max(1, len(spent) // 10)]
    return sum(best) / len(best) * len(spent) / batches


def show(clock: Clock, batches: int, size: int) -> None:
    """Print the times of one batch."""
    print(f"\nbatches of {size:,}: milliseconds of each batch (of {batches})")
    own = {name: undisturbed(spent, batches) for name, spent in clock.own.items()}
    backend = {name: undisturbed(spent, batches) for name, spent in clock.backend.items()}
    total = sum(own.values())
    print(f"  {'this process, processor time':<84}{total:9.2f}  {1000 * total / size:8.1f} µs/item")
    for name, spent in sorted(own.items()):
        print(f"    {name:<82}{spent:9.2f}  {1000 * spent / size:8.1f} µs/item")
    total = sum(backend.values())
    print(f"  {'the database, processor time':<84}{total:9.2f}  {1000 * total / size:8.1f} µs/item")
    for name, number in sorted(clock.statements.items()):
        print(f"    {name:<74}{number / batches:7.1f} times {backend.get(name, 0.0):8.2f}")


def run(variables: Mapping[str, str], batches: int) -> None:
    """Measure one item, and batches of 1,000, with the settings of a running stack."""
    os.environ.update({name: value for name, value in variables.items() if name.startswith("LIMPET_")})
    settings.cache_clear()
    for size, count in ((1, 10 * batches), (1000, batches)):
        clock = Clock(_DATABASE)
        for body in bodies(fresh(size * 5), 5, size):  # warm-up: connections and plans
            one_batch(clock, body)
        clock.own.clear()
        clock.backend.clear()
        clock.statements.clear()
        for body in bodies(fresh(size * count), count, size):
            one_batch(clock, body)
        show(clock, count, size)


def main() -> None:
    """Measure on a stack of its own."""
    parser = argparse.ArgumentParser(prog="bench.parts", description=__doc__)
    parser.add_argument("--batches", type=int, default=20)
    asked = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="limpet-bench-") as folder,
        running_servers(Path(folder) / "data") as servers,
    ):
        run(servers.variables, asked.batches)


if __name__ == "__main__":
    main()
