"""``limpet up`` killed: nothing is left behind, and nothing is lost."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from support.process_tree import descendants, pids, running
from support.waiting import eventually

from limpet.embedded.running import running_stack

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes through /proc")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder in which strangers' files lie already."""
    path = tmp_path_factory.mktemp("up") / "data with a space"
    path.mkdir()
    (path / "thesis.txt").write_text("mine")
    (path / "photos").mkdir()
    (path / "photos" / "cat.jpg").write_bytes(b"miaow")
    return path


@pytest.fixture(scope="module")
def stack(folder: Path) -> Iterator[dict[str, str]]:
    with running_stack(folder, workers=1) as variables:
        yield variables


@pytest.mark.long
def test_strangers_files_stay_as_they_were(stack: dict[str, str], folder: Path) -> None:
    assert stack
    assert (folder / "thesis.txt").read_text() == "mine"
    assert (folder / "photos" / "cat.jpg").read_bytes() == b"miaow"


@pytest.mark.long
def test_up_killed_leaves_no_process_and_its_data_is_there_at_the_next_start(
    stack: dict[str, str], folder: Path
) -> None:
    """The last of those that use the module's stack, which ends here."""
    with psycopg.connect(plain(json.loads(stack["LIMPET_DATABASES"])["acme"])) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    family = descendants(int(stack["pid"]))
    os.kill(int(stack["pid"]), signal.SIGKILL)
    # At once, while the guardian still ends the rest: this start has to wait for it.
    with running_stack(folder, workers=1) as second:
        assert [process for process in family if process in running()] == []
        with psycopg.connect(plain(json.loads(second["LIMPET_DATABASES"])["acme"])) as connection:
            assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)
        assert second["LIMPET_API_KEY"] == stack["LIMPET_API_KEY"]
        assert second["LIMPET_BROKER_URL"] == stack["LIMPET_BROKER_URL"]
        again = descendants(int(second["pid"]))
    assert [process for process in again if process in running()] == []
    assert not (folder / "pids.json").exists()
    assert (folder / "client.env").exists()


def test_up_killed_with_no_later_start_leaves_no_process(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "limpet", "up", "--data", str(tmp_path)], stdout=subprocess.DEVNULL
    )
    eventually(lambda: len(pids(tmp_path)) > 4, 30)
    family = descendants(process.pid)
    process.kill()
    process.wait()
    eventually(lambda: not set(family) & running(), 15)
    eventually(lambda: not (tmp_path / "pids.json").exists(), 5)


def plain(url: str) -> str:
    """libpq's form of an SQLAlchemy URL."""
    return url.replace("postgresql+psycopg://", "postgresql://", 1)
