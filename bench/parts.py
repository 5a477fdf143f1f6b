"""Where the time of an item goes, part by part: each step carried out in this process, statement by statement.

``python -m bench.parts`` prints it for one item and for batches of 1,000. Processor time of this process and time spent
waiting for the database are told apart, so other load on the machine changes the second only.
"""

import argparse
import hashlib
import json
import os
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import event

from api_stub import answers, intake
from bench.keys import fresh
from bench.rows import bodies
from bench.servers import running_servers
from worker.database import engine, transaction
from worker.deliver import deliver
from worker.ledger import report
from worker.ledger.accept import NewBatch, accept
from worker.settings import settings

_DATABASE = "acme"


class Clock:
    """Milliseconds by part: of this process, and of waiting for the database by the first words of the statement."""

    def __init__(self) -> None:
        self.own: dict[str, float] = defaultdict(float)
        self.database: dict[str, float] = defaultdict(float)
        self.statements: Counter[str] = Counter()
        self._part = ""
        self._began = 0.0
        found = engine(_DATABASE)
        event.listen(found, "before_cursor_execute", self._before)
        event.listen(found, "after_cursor_execute", self._after)
        for name in ("begin", "commit", "savepoint", "release_savepoint"):
            event.listen(found, name, self._count(name))

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Measure the block as the part ``name``."""
        self._part = name
        began = time.process_time()
        yield
        self.own[name] += 1000 * (time.process_time() - began)

    def _before(self, *_: object) -> None:
        self._began = time.perf_counter()

    def _after(self, _connection: object, _cursor: object, statement: str, *_: object) -> None:
        name = f"{self._part}: {' '.join(statement.split())[:60]}"
        self.database[name] += 1000 * (time.perf_counter() - self._began)
        self.statements[name] += 1

    def _count(self, name: str) -> Any:
        def count(*_: object) -> None:
            self.statements[f"{self._part}: {name.upper()}"] += 1

        return count


def one_batch(clock: Clock, body: bytes) -> None:
    """Take one batch from its body to its answer, as API and worker do."""
    with clock.part("1 read and validate"):
        hashlib.sha256(body).digest()
        items = intake.items(json.loads(body))
    with clock.part("2 accept"), transaction(_DATABASE) as session:
        accepted = accept(session, NewBatch("case_attachments", "bench", items))
    with clock.part("3 deliver"):
        for ring in accepted.rings:
            deliver(_DATABASE, ring.chunk_id, "bench")
    with clock.part("4 report"), transaction(_DATABASE) as session:
        view = report.view(session, accepted.batch_id)
        ends = report.items(session, accepted.batch_id, limit=len(items))
    with clock.part("5 answer"):
        assert view is not None
        answers.envelope([answers.item_status(end) for end in ends], answers.brief(view)).model_dump_json(by_alias=True)


def show(clock: Clock, batches: int, size: int) -> None:
    """Print the means of one batch."""
    print(f"\nbatches of {size:,}: milliseconds of each batch (mean of {batches})")
    total = sum(clock.own.values()) / batches
    print(f"  {'this process, processor time':<84}{total:9.2f}  {1000 * total / size:8.1f} µs/item")
    for name, spent in sorted(clock.own.items()):
        print(f"    {name:<82}{spent / batches:9.2f}  {1000 * spent / batches / size:8.1f} µs/item")
    total = sum(clock.database.values()) / batches
    print(f"  {'waiting for statements':<84}{total:9.2f}  {1000 * total / size:8.1f} µs/item")
    for name, number in sorted(clock.statements.items()):
        print(f"    {name:<74}{number / batches:7.1f} times {clock.database.get(name, 0.0) / batches:8.2f}")


def run(variables: Mapping[str, str], batches: int) -> None:
    """Measure one item, and many, with the settings of a running stack."""
    os.environ.update({name: value for name, value in variables.items() if name.startswith("LIMPET_")})
    settings.cache_clear()
    for size, count in ((1, 10 * batches), (1000, batches)):
        clock = Clock()
        for body in bodies(fresh(size * 5), 5, size):  # the first ones pay for connections and plans
            one_batch(clock, body)
        clock.own.clear()
        clock.database.clear()
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
