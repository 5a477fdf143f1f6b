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
from pathlib import Path

import pytest
from support.process_tree import children, descendants, pids, recorded
from support.waiting import eventually

from limpet.embedded.home.ports import Reservations

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes through /proc")

PARTS = ("postgres", "redis", "s3", "api", "relay", "beat", "flower")


@pytest.fixture
def folder(stack: dict[str, str]) -> Path:
    """The data folder of the stack."""
    return Path(stack["data"])


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
    variables = {name: value for name, value in stack.items() if name not in ("pid", "data")}
    assert {name: sourced[name] for name in variables} == variables
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


def test_a_name_that_is_taken_by_another_is_refused_and_untouched(tmp_path: Path) -> None:
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


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except OSError:
        return False
