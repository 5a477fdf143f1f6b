"""How many items one task carries, by what there is to do."""

from collections.abc import Iterator

import pytest

from worker.ledger.chunking import IDLE, Load, chunk_size
from worker.settings import settings


@pytest.fixture(autouse=True)
def _four_processes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("LIMPET_WORKER_PROCESSES", "4")
    monkeypatch.setenv("LIMPET_SMALL_BATCH", "25")
    monkeypatch.setenv("LIMPET_CHUNK_ITEMS", "500")
    settings.cache_clear()
    yield
    settings.cache_clear()


@pytest.mark.parametrize("total", [1, 3, 25])
def test_each_item_of_a_small_batch_is_a_task_while_workers_have_hands_free(total: int) -> None:
    assert chunk_size(total, IDLE) == 1
    assert chunk_size(total, Load(open_chunks=8, recent_items=60)) == 1


@pytest.mark.parametrize("load", [Load(open_chunks=9, recent_items=0), Load(open_chunks=0, recent_items=61)])
def test_a_small_batch_is_one_task_once_much_is_open_or_much_came_in(load: Load) -> None:
    assert chunk_size(10, load) >= 10


def test_a_large_batch_is_shared_among_the_processes() -> None:
    assert [chunk_size(total) for total in (26, 400, 1000, 100_000)] == [25, 100, 250, 500]


@pytest.mark.parametrize(("open_chunks", "most"), [(1, 134), (2, 200), (3, 400), (4, 400), (9, 400)])
def test_only_processes_that_are_free_share_a_batch(open_chunks: int, most: int) -> None:
    assert chunk_size(400, Load(open_chunks, recent_items=0)) == most
