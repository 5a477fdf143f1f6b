"""``docker-compose.yml``: it is sound as a file, and what it runs does its job on real servers."""

import json
import os
import re
import secrets
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import compose_spec
import httpx
import psycopg
import pytest
import redis
import yaml
from support.processes import pids

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docker-compose.yml").read_text()
EXAMPLE = dict(re.findall(r"^(\w+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))
SECRETS = {name for name, value in EXAMPLE.items() if not value}
OURS = ("migrate", "api", "worker", "worker-bulk", "relay", "beat", "flower")
PROC = pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="looks at processes through /proc")
VARIABLE = re.compile(r"\$(?:\$|\{(?P<name>\w+)(?::(?P<otherwise>[-?][^}]*))?\})")


def interpolated(text: str, values: dict[str, str]) -> Any:
    """The document as compose reads it: variables put in, anchors followed."""

    def value(variable: re.Match[str]) -> str:
        if variable["name"] is None:
            return "$"
        otherwise = variable["otherwise"] or "?"
        found = values.get(variable["name"]) or (otherwise[1:] if otherwise[0] == "-" else "")
        assert found, f"compose would refuse: {variable[0]}"
        return found

    return yaml.safe_load(VARIABLE.sub(value, text))


DOCUMENT = interpolated(TEXT, EXAMPLE | dict.fromkeys(SECRETS, "s3cret"))
SERVICES: dict[str, Any] = DOCUMENT["services"]


def test_the_file_follows_the_compose_specification() -> None:
    # Anchors are followed first: this parser does not know '<<' inside a service.
    compose = compose_spec.PyCompose.from_yaml(yaml.safe_dump(DOCUMENT))
    compose.validate()
    assert set(compose.service_names()) == {"postgres", "redis", "minio", *OURS}


def test_whatever_a_service_refers_to_is_defined() -> None:
    for service in SERVICES.values():
        for needed, how in service.get("depends_on", {}).items():
            assert how["condition"] != "service_healthy" or "healthcheck" in SERVICES[needed]
        assert {volume.split(":")[0] for volume in service.get("volumes", [])} <= set(DOCUMENT["volumes"])
        assert {config["source"] for config in service.get("configs", [])} <= set(DOCUMENT["configs"])


def test_every_variable_stands_in_the_example_and_the_example_has_no_other() -> None:
    assert {match["name"] for match in VARIABLE.finditer(TEXT)} - {None} == set(EXAMPLE)


def test_defaults_are_those_of_the_example() -> None:
    for match in VARIABLE.finditer(TEXT):
        if (match["otherwise"] or "").startswith("-"):
            assert match["otherwise"] == f"-{EXAMPLE[match['name']]}"
    assert int(EXAMPLE["WORKER_PROCESSES"]) == 2 * int(EXAMPLE["WORKER_REPLICAS"]) * int(EXAMPLE["WORKER_CONCURRENCY"])


def test_there_is_no_default_password() -> None:
    assert {"POSTGRES_PASSWORD", "REDIS_PASSWORD", "S3_SECRET_KEY", "JWT_SECRET", "FLOWER_PASSWORD"} == SECRETS
    for match in VARIABLE.finditer(TEXT):
        assert match["name"] not in SECRETS or match["otherwise"].startswith("?"), match[0]
    for line in TEXT.splitlines():
        if re.search(r"PASSWORD:|SECRET|_AUTH:|requirepass |://\w*:", line.partition("# ")[0]):
            assert re.search(r"\$\{\w+:\?", line), line


def test_the_line_in_the_example_fills_every_blank_and_never_writes_over_a_file(tmp_path: Path) -> None:
    example = (ROOT / ".env.example").read_text()
    (line,) = re.findall(r"^#   (\(set -C.*\))$", example, re.MULTILINE)
    (tmp_path / ".env.example").write_text(example)
    subprocess.run(["/bin/sh", "-c", line], cwd=tmp_path, check=True)
    written = (tmp_path / ".env").read_text()
    values = dict(re.findall(r"^(\w+)=(.*)$", written, re.MULTILINE))
    assert {name: value for name, value in values.items() if name not in SECRETS} == {
        name: value for name, value in EXAMPLE.items() if name not in SECRETS
    }
    assert len({values[name] for name in SECRETS}) == len(SECRETS)
    assert all(re.fullmatch("[0-9a-f]{40}", values[name]) for name in SECRETS)
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600
    assert subprocess.run(["/bin/sh", "-c", line], cwd=tmp_path, stderr=subprocess.DEVNULL, check=False).returncode != 0
    assert (tmp_path / ".env").read_text() == written


def test_ports_are_published_on_the_loopback_interface_only() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published == ["127.0.0.1:9000:9000", "127.0.0.1:8000:8000", "127.0.0.1:5555:5555"]


def test_what_runs_on_is_restarted_and_only_the_relay_has_no_check() -> None:
    assert {name for name, service in SERVICES.items() if service["restart"] != "unless-stopped"} == {"migrate"}
    assert {name for name, service in SERVICES.items() if "healthcheck" not in service} == {"migrate", "relay"}


def test_databases_are_made_as_the_embedded_ones() -> None:
    arguments = SERVICES["postgres"]["environment"]["POSTGRES_INITDB_ARGS"].split()
    source = (ROOT / "limpet" / "embedded" / "servers" / "postgres.py").read_text()
    assert [word for word in arguments if f'"{word}"' not in source] == []
    assert {word.partition("=")[0] for word in arguments} == {
        "--encoding",
        "--locale",
        "--locale-provider",
        "--builtin-locale",
    }


def test_the_image_holds_the_versions_that_are_tested() -> None:
    tested, shipped = ((ROOT / name).read_text() for name in ("requirements.lock", "requirements-server.lock"))
    pins = set(re.findall(r"^[^ #]+==[^ ]+", shipped, re.MULTILINE))
    assert pins
    assert pins <= set(re.findall(r"^[^ #]+==[^ ]+", tested, re.MULTILINE))
    assert "://" not in shipped


@PROC
@pytest.mark.parametrize("name", ["api", "worker", "worker-bulk", "relay", "beat", "flower"])
def test_a_service_takes_the_options_of_the_embedded_one(name: str, stack: dict[str, str]) -> None:
    embedded = (embedded_process(stack, name) / "cmdline").read_text().split("\0")
    assert options(SERVICES[name]["command"]) == options(embedded)


def embedded_process(stack: dict[str, str], name: str) -> Path:
    """The folder of /proc about the process of that name in the embedded stack; its last worker is the bulk one."""
    pid = pids(stack)[name.removesuffix("-bulk")]
    return Path(f"/proc/{pid[-1 if name.endswith('-bulk') else 0] if isinstance(pid, list) else pid}")


def options(command: list[str]) -> set[str]:
    """The options in ``command``, in their long form; values that have to differ are left out."""
    long = {"-A": "--app", "-n": "--hostname", "-E": "--task-events", "-l": "--loglevel", "-s": "--schedule"}
    long["-Q"] = "--queues"
    differing = ("--hostname", "--concurrency", "--schedule", "--host", "--port", "--address", "--db")
    words = [long.get(word, word) for word in command]
    joined = [
        f"{word}={words[at + 1]}" if word in {"--app", "--loglevel", "--queues"} else word
        for at, word in enumerate(words)
    ]
    return {word.partition("=")[0] if word.startswith(differing) else word for word in joined if word.startswith("--")}


@dataclass(frozen=True)
class System:
    """The services as compose would run them, but with the embedded servers behind their names."""

    services: dict[str, Any]
    folder: Path
    api: str
    flower: str

    def environment(self, name: str) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
        own = {variable: str(value) for variable, value in self.services[name].get("environment", {}).items()}
        return {"PATH": path, "HOME": str(self.folder), "HOSTNAME": socket.gethostname(), **own}

    def run(self, name: str, *command: str) -> subprocess.CompletedProcess[str]:
        """What ``docker compose run --rm NAME COMMAND`` does."""
        return subprocess.run(
            command or self.services[name]["command"],
            env=self.environment(name),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def healthy(self, name: str) -> bool:
        how, *test = self.services[name]["healthcheck"]["test"]
        return self.run(name, *(("/bin/sh", "-c", *test) if how == "CMD-SHELL" else test)).returncode == 0


def free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        return [held.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for _ in range(count)]


@pytest.fixture(scope="module")
def system(stack: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> System:
    """Services on a database, a bucket and a part of the broker that nobody else uses; not migrated yet."""
    folder = tmp_path_factory.mktemp("compose")
    for name in ("credentials", "beat", "flower"):  # the image has them
        (folder / name).mkdir()
    database = urlsplit(json.loads(stack["LIMPET_DATABASES"])["demo"])
    broker = urlsplit(stack["LIMPET_BROKER_URL"])
    with psycopg.connect(database._replace(scheme="postgresql").geturl(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE main")
    api, flower = free_ports(2)
    places = {
        "postgres:5432": database.netloc.rpartition("@")[2],
        "redis:6379/0": f"{broker.netloc.rpartition('@')[2]}/1",
        "minio:9000": stack["LIMPET_S3_ENDPOINT"],
        "/var/lib/limpet": str(folder),
        "0.0.0.0": "127.0.0.1",
        "8000": str(api),
        "5555": str(flower),
    }
    assert all(place in TEXT for place in places)
    text = re.sub("|".join(map(re.escape, places)), lambda place: places[place[0]], TEXT)
    values = {
        "POSTGRES_PASSWORD": database.password or "",
        "REDIS_PASSWORD": broker.password or "",
        "S3_ACCESS_KEY": stack["LIMPET_S3_ACCESS_KEY"],
        "S3_SECRET_KEY": stack["LIMPET_S3_SECRET_KEY"],
        "S3_BUCKET": "compose",
        "JWT_SECRET": secrets.token_hex(20),
        "FLOWER_PASSWORD": "flower-s3cret",
        "WORKER_CONCURRENCY": "2",
    }
    services = interpolated(text, EXAMPLE | values)["services"]
    return System(services, folder, f"http://127.0.0.1:{api}", f"http://127.0.0.1:{flower}/flower")


@pytest.fixture(scope="module")
def migrated(system: System) -> System:
    assert (ended := system.run("migrate")).returncode == 0, ended.stderr
    return system


@dataclass(frozen=True)
class Running:
    process: subprocess.Popen[bytes]
    log: Path

    def says(self, words: str) -> bool:
        return words in self.log.read_text(errors="replace")

    def wait_until(self, condition: Callable[[], object], promise: str, seconds: float = 45) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, f"ended before this: {promise}\n{self.log.read_text()}"
            assert time.monotonic() < deadline, f"not within {seconds} s: {promise}\n{self.log.read_text()}"
            time.sleep(0.05)


@contextmanager
def up(system: System, name: str) -> Iterator[Running]:
    """Run a service; at the end it gets SIGTERM, as from ``docker compose stop``, and must end well and soon."""
    log = system.folder / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            system.services[name]["command"],
            env=system.environment(name),
            cwd=system.folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield Running(process, log)
        process.terminate()
        code = process.wait(20)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    # Uvicorn ends in order, and then once more by the signal itself.
    assert code == (-signal.SIGTERM if name == "api" else 0), log.read_text()
    assert name != "api" or "Application shutdown complete" in log.read_text()


@PROC
def test_the_broker_s_configuration_asks_for_the_password_and_evicts_nothing(
    stack: dict[str, str], tmp_path: Path
) -> None:
    configuration = tmp_path / "limpet.conf"
    configuration.write_text(DOCUMENT["configs"]["redis"]["content"].replace("/data", str(tmp_path)))
    (port,) = free_ports(1)
    program = (embedded_process(stack, "redis") / "exe").readlink()
    arguments = [str(program), str(configuration), "--port", str(port), "--bind", "127.0.0.1"]
    with (tmp_path / "log").open("wb") as output:
        process = subprocess.Popen(arguments, stdout=output, cwd=tmp_path)
    try:
        server = Running(process, tmp_path / "log")
        server.wait_until(lambda: server.says("Ready to accept connections"), "the broker starts")
        with redis.Redis(port=port) as stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()
        with redis.Redis(port=port, password="s3cret", decode_responses=True) as client:
            assert client.config_get("maxmemory-policy", "appendonly", "save") == {
                "maxmemory-policy": "noeviction",
                "appendonly": "yes",
                "save": "",
            }
    finally:
        process.terminate()
        process.wait()


def test_migrate_may_run_again(migrated: System) -> None:
    again = migrated.run("migrate")
    assert again.returncode == 0
    assert "main: at " in again.stdout
    assert "bucket compose: there" in again.stdout


@pytest.mark.parametrize(
    "name", ["api", "worker", pytest.param("worker-bulk", marks=pytest.mark.long), "beat", "flower"]
)
def test_what_does_not_run_is_not_healthy(system: System, name: str) -> None:
    assert not system.healthy(name)


def test_the_relay_sweeps_the_database(migrated: System) -> None:
    url = json.loads(migrated.environment("relay")["LIMPET_DATABASES"])["main"]
    sweeping = "SELECT FROM pg_stat_activity WHERE datname = 'main' AND application_name = 'limpet'"
    with (
        psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection,
        up(migrated, "relay") as relay,
    ):
        relay.wait_until(lambda: relay.says("relay.started databases=main"), "it says so")
        relay.wait_until(lambda: connection.execute(sweeping).rowcount, "it looks into the ledger")
    assert relay.says("relay.stopped")
    assert not relay.says("relay.waits")


def test_beat_is_healthy_as_long_as_it_saves_its_schedule(migrated: System) -> None:
    with up(migrated, "beat") as beat:
        beat.wait_until(lambda: beat.says("beat: Starting...") and migrated.healthy("beat"), "its check passes")
    hours_ago = time.time() - 3600
    for file in (migrated.folder / "beat").iterdir():
        os.utime(file, (hours_ago, hours_ago))
    assert not migrated.healthy("beat")


def test_flower_is_healthy_and_wants_its_password(migrated: System) -> None:
    with up(migrated, "flower") as flower:
        flower.wait_until(lambda: migrated.healthy("flower"), "its check passes")
        assert httpx.get(f"{migrated.flower}/").status_code == 401
        assert httpx.get(f"{migrated.flower}/", auth=("limpet", "flower-s3cret")).status_code == 200


def test_api_and_worker_are_healthy_and_an_operator_s_first_key_and_token_bring_a_batch_in(migrated: System) -> None:
    key = migrated.run("api", "limpet", "keys", "add", "tester", "--database", "main").stdout.strip()
    token = migrated.run("api", "limpet", "token", "tester", "--database", "main").stdout.strip()
    headers = {"vbasoftware-database": "main", "x-api-key": key, "Authorization": f"Bearer {token}"}
    record = {"caseAttachment_Key": 17, "case_Key": 1, "attachment_File": "a.txt", "attachment": "aGVsbG8="}
    with (
        up(migrated, "api") as api,
        up(migrated, "worker") as worker,
        httpx.Client(base_url=migrated.api, headers=headers, timeout=60) as client,
    ):
        worker.wait_until(lambda: worker.says(f"worker@{socket.gethostname()} ready."), "it is ready")
        assert migrated.healthy("worker")
        api.wait_until(lambda: migrated.healthy("api"), "its check passes")
        assert client.get("/health/ready").status_code == 200
        answer = client.put("/case-attachments-batch", json=[record])
        assert (answer.status_code, [item["status"] for item in answer.json()["data"]]) == (207, [201]), answer.text
        assert client.get("/case-attachments/17/content").content == b"hello"
    watched, open_imports = re.findall(r"```sql\n(.*?)```", (ROOT / "docs" / "production.md").read_text(), re.DOTALL)
    url = json.loads(migrated.environment("api")["LIMPET_DATABASES"])["main"]
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        assert connection.execute(watched).fetchone() == (0, 0)
        assert connection.execute(open_imports).fetchall() == []
