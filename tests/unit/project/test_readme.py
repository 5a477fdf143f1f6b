"""The README says what is so: settings, files and make targets."""

import re
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from worker.settings import Settings

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text()
ROWS: list[tuple[str, str, str]] = re.findall(r"^\| `(LIMPET_\w+)` \| ?(.*?) ?\| (.+) \|$", README, re.MULTILINE)
SIZES = {"MiB": 2**20, "GiB": 2**30}
TIMES = {"s": "seconds", "min": "minutes", "h": "hours", "d": "days"}


def plain(default: object) -> str:
    """A default as one would set it in the environment."""
    if isinstance(default, SecretStr):
        return default.get_secret_value()
    if isinstance(default, timedelta):
        return f"{default.total_seconds():g}"
    return str(default).lower() if isinstance(default, bool) else str(default)


def spelled_out(cell: str) -> str:
    """A default as the table has it, in the same form."""
    if number := re.fullmatch(r"(\d+) (\w+)", cell):
        amount, unit = int(number[1]), number[2]
        return str(amount * SIZES[unit]) if unit in SIZES else plain(timedelta(**{TIMES[unit]: amount}))
    return cell.strip("`")


def test_the_table_names_exactly_the_settings_each_once_with_its_default() -> None:
    fields = {f"LIMPET_{name.upper()}": plain(field.default) for name, field in Settings.model_fields.items()}
    assert {name: spelled_out(default) for name, default, _ in ROWS} == fields
    assert len(ROWS) == len(fields)


@pytest.mark.parametrize(
    ("written", "meant"),
    [("25", timedelta(seconds=25)), ("PT25S", timedelta(seconds=25)), ("PT1H", timedelta(hours=1))],
)
def test_durations_are_read_as_the_readme_writes_them(
    monkeypatch: pytest.MonkeyPatch, written: str, meant: timedelta
) -> None:
    assert f"`{written}`" in README
    monkeypatch.setenv("LIMPET_WAIT", written)
    assert Settings().wait == meant


NAMES = set(re.findall(r"`([\w./-]+)`|\]\(([\w./-]+)\)", README))
FILES = sorted(
    {
        name
        for pair in NAMES
        for name in pair
        if re.search(r"\w\.(py|md|yml|toml|lock)$|^(schemas|worker|api_stub|limpet|tests|docs)/", name)
    }
)


def test_the_readme_leads_along_files() -> None:
    assert len(FILES) > 20


@pytest.mark.parametrize("name", FILES)
def test_every_file_that_the_readme_names_exists(name: str) -> None:
    assert (ROOT / name).exists()


def test_every_make_target_that_the_readme_names_is_one_that_make_help_lists() -> None:
    listed = subprocess.run(["make", "-s", "-C", str(ROOT), "help"], capture_output=True, text=True, check=True)
    named = set(re.findall(r"(?:`|^)make (\w+)", README, re.MULTILINE))
    assert {"demo", "test", "up", "check"} <= named
    assert named <= {line.split()[0] for line in listed.stdout.splitlines()}
