"""(c) taskiq: one task for each item, awaited from sending to commit."""

import asyncio
from collections.abc import Callable

from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from taskiq_redis import RedisStreamBroker

from bench.peers.table import BROKER, URL, upsert_of
from bench.rows import rows

broker = RedisStreamBroker(url=BROKER)
engine = create_async_engine(URL)


@broker.task
async def upsert(row: dict[str, object]) -> None:
    """Carry out one item."""
    async with AsyncSession(engine) as session:
        await session.execute(upsert_of(row))
        await session.commit()


def prepare(first: int, count: int) -> Callable[[], list[float]]:
    """Return a function that sends a task for each row."""
    wanted = list(rows(first, count))

    async def send() -> None:
        await broker.startup()
        for row in wanted:
            await upsert.kiq(row)
        await broker.shutdown()

    def run() -> list[float]:
        asyncio.run(send())
        return []

    return run
