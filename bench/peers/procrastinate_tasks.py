"""(d) Procrastinate: one job for each item, its queue in PostgreSQL."""

from collections.abc import Callable

from procrastinate import App, PsycopgConnector

from bench.peers.table import URL, upsert_one
from bench.rows import rows

app = App(connector=PsycopgConnector(conninfo=URL.replace("postgresql+psycopg", "postgresql")))


@app.task
def upsert(row: dict[str, object]) -> None:
    """Carry out one item."""
    upsert_one(row)


def prepare(first: int, count: int) -> Callable[[], list[float]]:
    """Return a function that defers a job for each row, in one statement."""
    wanted = [{"row": row} for row in rows(first, count)]

    def send() -> list[float]:
        with app.open():
            upsert.batch_defer(*wanted)
        return []

    return send
