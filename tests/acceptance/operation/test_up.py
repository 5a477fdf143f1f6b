"""``limpet up``: real servers, real signals, and nothing left behind."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from support.waiting import eventually

from limpet.embedded.home.ports import Reservations
from limpet.embedded.running import running_stack

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes through /proc")

PARTS = ("postgres", "redis", "s3", "api", "relay", "beat", "flower")


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


def test_files_with_secrets_are_for_their_owner_only(stack: dict[str, str], folder: Path) -> None:
    names = ("client.env", "server.env", "pids.json", "secrets.json", "credentials.json", "ports.json", "limpet.lock")
    modes = {name: stat.S_IMODE((folder / name).stat().st_mode) for name in names}
    assert modes == dict.fromkeys(names, 0o600), stack["pid"]


def test_a_data_folder_that_up_makes_is_for_its_owner_only(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        up("--data", str(tmp_path / "a" / "new"), "--port", str(taken.getsockname()[1]))
    assert stat.S_IMODE((tmp_path / "a" / "new").stat().st_mode) == 0o700


def test_a_shell_can_source_the_variables(stack: dict[str, str], folder: Path) -> None:
    show = 'exec "$1" -c "import json, os; print(json.dumps(dict(os.environ)))"'
    script = f'set -a; . "$0/client.env"; . "$0/server.env"; {show}'
    shell = subprocess.run(
        ["/bin/sh", "-c", script, str(folder), sys.executable], env={}, capture_output=True, text=True, check=True
    )
    sourced = json.loads(shell.stdout)
    assert {name: sourced[name] for name in stack if name != "pid"} == {n: v for n, v in stack.items() if n != "pid"}
    assert set(json.loads(sourced["LIMPET_DATABASES"])) == {"demo", "acme"}


def test_no_secret_is_in_the_process_list(stack: dict[str, str], folder: Path) -> None:
    secrets = [value for name, value in json.loads((folder / "secrets.json").read_text()).items() if name != "user"]
    family = descendants(int(stack["pid"]))
    commands = [Path(f"/proc/{pid}/cmdline").read_text(errors="replace") for pid, _ in family]
    assert len(family) > len(PARTS)
    assert not [command for command in commands if any(secret in command for secret in secrets)]


def test_every_port_is_on_the_loopback_interface(stack: dict[str, str], folder: Path) -> None:
    ports = {*json.loads((folder / "ports.json").read_text()).values(), int(stack["LIMPET_URL"].rpartition(":")[2])}
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:] + Path("/proc/net/tcp6").read_text().splitlines()[1:]
    listening = [line.split()[1] for line in lines if line.split()[3] == "0A"]
    ours = [address for address in listening if int(address.rpartition(":")[2], 16) in ports]
    assert len(ours) >= 4
    assert {address.rpartition(":")[0] for address in ours} == {"0100007F"}


def test_a_second_up_on_the_folder_is_refused_at_once(stack: dict[str, str], folder: Path) -> None:
    began = time.monotonic()
    second = up("--data", str(folder))
    assert second.returncode == 4
    assert str(folder) in second.stderr
    assert stack["pid"] in second.stderr
    assert time.monotonic() - began < 5


def test_flower_wants_a_password(stack: dict[str, str]) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(stack["LIMPET_FLOWER_URL"], timeout=5)
    refused.value.close()
    assert refused.value.code == 401


@pytest.mark.parametrize("part", [*PARTS, "worker"])
def test_a_part_that_is_killed_comes_back(stack: dict[str, str], folder: Path, part: str) -> None:
    before = pids(folder)
    os.kill(before[part][0], signal.SIGKILL)
    eventually(lambda: pids(folder).get(part, before[part]) not in ([], before[part]), 15)
    assert pids(folder)["up"] == [int(stack["pid"])]
    eventually(lambda: recorded(folder) <= children(int(stack["pid"])), 5)
    assert set(pids(folder)) == {"up", "worker", *PARTS}


def test_the_api_is_ready_after_all_those_deaths(stack: dict[str, str]) -> None:
    eventually(lambda: answers(f"{stack['LIMPET_URL']}/health/ready"), 30)


def test_strangers_files_stay_as_they_were(stack: dict[str, str], folder: Path) -> None:
    assert stack
    assert (folder / "thesis.txt").read_text() == "mine"
    assert (folder / "photos" / "cat.jpg").read_bytes() == b"miaow"


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


def test_up_killed_while_nobody_comes_after_it_leaves_no_process(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "limpet", "up", "--data", str(tmp_path)], stdout=subprocess.DEVNULL
    )
    eventually(lambda: len(pids(tmp_path)) > 4, 30)
    family = descendants(process.pid)
    process.kill()
    process.wait()
    eventually(lambda: not set(family) & running(), 15)
    eventually(lambda: not (tmp_path / "pids.json").exists(), 5)


def test_a_port_that_is_taken_is_refused_at_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = up("--data", str(tmp_path), "--port", str(port))
    assert refused.returncode == 4
    assert f"Port {port} is taken" in refused.stderr


def test_a_port_that_one_stack_has_chosen_is_not_to_be_had_by_another() -> None:
    with Reservations() as one, Reservations() as other:
        port = one.take_any()
        assert not other.take(port)
    with Reservations() as later:
        assert later.take(port)


def test_a_name_that_is_taken_by_somebody_else_is_refused_and_untouched(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "precious").write_text("mine")
    refused = up("--data", str(tmp_path))
    assert refused.returncode == 4
    assert "postgres" in refused.stderr
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == [
        "postgres",
        "postgres/precious",
    ]


def test_external_names_each_variable_that_is_missing(tmp_path: Path) -> None:
    refused = up("--data", str(tmp_path), "--external", LIMPET_BROKER_URL="redis://127.0.0.1:1/0")
    assert refused.returncode == 4
    assert "LIMPET_DATABASES" in refused.stderr
    assert "LIMPET_S3_ENDPOINT" in refused.stderr
    assert "LIMPET_BROKER_URL" not in refused.stderr


def up(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run an `up` that ends by itself."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LIMPET_")}
    return subprocess.run(
        [sys.executable, "-m", "limpet", "up", *arguments],
        env=environment | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def pids(folder: Path) -> dict[str, list[int]]:
    """What ``pids.json`` says, each name with a list."""
    file = folder / "pids.json"
    known = json.loads(file.read_text()) if file.exists() else {}
    return {name: value if isinstance(value, list) else [value] for name, value in known.items()}


def running() -> set[tuple[int, int]]:
    """Every process that runs, with the time it began: a number alone may be used again."""
    return {(pid, began) for pid, _, began in processes()}


def descendants(pid: int) -> list[tuple[int, int]]:
    """The children of ``pid``, their children and so on."""
    everybody = list(processes())
    found = {pid}
    while more := {child for child, above, _ in everybody if above in found} - found:
        found |= more
    return [(child, began) for child, _, began in everybody if child in found - {pid}]


def children(pid: int) -> set[int]:
    return {child for child, above, _ in processes() if above == pid}


def recorded(folder: Path) -> set[int]:
    """The processes that ``pids.json`` names, without `up` itself."""
    return {pid for name, known in pids(folder).items() if name != "up" for pid in known}


def processes() -> Iterator[tuple[int, int, int]]:
    """Each living process: its number, its parent's, and when it began."""
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = file.read_text(errors="replace").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):  # it ended while we were looking
            continue
        if fields[0] not in "ZX":
            yield int(file.parent.name), int(fields[1]), int(fields[19])


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except OSError:
        return False


def plain(url: str) -> str:
    """libpq's form of an SQLAlchemy URL."""
    return url.replace("postgresql+psycopg://", "postgresql://", 1)
