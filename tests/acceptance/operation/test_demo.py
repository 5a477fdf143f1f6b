"""``limpet demo``, started as a person starts it."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from limpet.demo.samples import claims, follow_up
from limpet.http.client import Client, ClientError

LIMPET = Path(sys.executable).with_name("limpet")
README = Path(__file__).parents[3] / "README.md"


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.CompletedProcess[str]]:
    """What a demo prints that is started in an empty folder, when port 8000 is taken."""
    with closing(socket.socket()) as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", 8000))
            taken.listen()
        except OSError:
            pass  # by somebody else, which is as good
        yield run(tmp_path_factory.mktemp("elsewhere"))


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LIMPET_")}
    return subprocess.run(
        [LIMPET, "demo", *arguments],
        cwd=folder,
        env={**environment, "TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.mark.long
def test_it_ends_well_and_shows_each_promise(shown: subprocess.CompletedProcess[str]) -> None:
    assert shown.returncode == 0, shown.stdout + shown.stderr
    said = shown.stdout
    assert len(re.findall(r"^ +\d+  7001\d\d .* 201  created$", said, re.MULTILINE)) == 12 + 2
    assert len(re.findall(r"^ +\d+  7001\d\d .* 200  updated$", said, re.MULTILINE)) == 12
    assert re.search(r"422  invalid\n +attachment must be base64", said)
    assert "2 created, 1 invalid; Batch-Outcome: partial" in said
    assert len(re.findall(r"207 after \d+ ms", said)) == 3
    assert "the same bytes as were sent" in said
    assert "29 tasks limpet.deliver succeeded" in said
    assert "finished: 2,998 created, 2 invalid" in said
    assert len(re.findall(r"^ +line \d+: 422, \w+ .+$", said, re.MULTILINE)) == 2
    assert "All as it should be" in said.splitlines()[-1]


@pytest.mark.long
def test_it_fits_a_terminal_and_tells_no_secret(shown: subprocess.CompletedProcess[str]) -> None:
    lines = [line for line in shown.stdout.splitlines() if "data in /" not in line]
    assert max(map(len, lines)) <= 100
    assert "\x1b" not in shown.stdout
    assert shown.stderr == ""
    assert not re.search(r"[\w-]{40}", shown.stdout), "keys, tokens and passwords are that long"


@pytest.mark.long
def test_the_readme_shows_lines_that_it_prints(shown: subprocess.CompletedProcess[str]) -> None:
    block = README.read_text().split("it prints:\n\n```\n", 1)[1].split("```", 1)[0]
    assert len(block.splitlines()) > 20
    assert set(without_figures(block)) <= set(without_figures(shown.stdout))


def without_figures(text: str) -> list[str]:
    """The lines of ``text`` without what differs from run to run: times, ports, sizes, hashes."""
    return [
        re.sub(r"[\d,.]+", "", re.sub(r"SHA-256 \w+", "SHA-256", line)).replace(" ", "") for line in text.splitlines()
    ]


@pytest.mark.long
def test_it_leaves_the_usual_port_and_its_temporary_folder_alone(shown: subprocess.CompletedProcess[str]) -> None:
    assert "http://127.0.0.1:8000" not in shown.stdout
    (folder,) = re.findall(r"data in (/\S+)", shown.stdout)
    assert not Path(folder).exists()
    assert list(Path(folder).parent.iterdir()) == []


def test_a_folder_to_keep_that_is_not_empty_is_refused(tmp_path: Path) -> None:
    refused = run(tmp_path, "--keep", ".")
    assert refused.returncode == 2
    assert "not empty" in refused.stderr


def test_the_client_reads_what_it_sent(stack: dict[str, str]) -> None:
    sample = claims()[4]
    with Client.from_environment(stack) as client:
        answer = client.put_batch([sample.item()])
        assert (answer.status, answer.outcome) == (207, "complete")
        assert client.record(sample.key).attachment_file == sample.file
        assert client.content(sample.key).size == len(sample.content or b"")
        assert client.batch(answer.report.batch.id).state == "finished"


def test_the_client_tells_the_servers_reason(stack: dict[str, str]) -> None:
    elsewhere = {**stack, "LIMPET_DATABASE": "nowhere"}
    with (
        Client.from_environment(elsewhere) as client,
        pytest.raises(ClientError, match=r"HTTP 403, No such database for you: .*vbasoftware-database"),
    ):
        client.put_batch(follow_up())
