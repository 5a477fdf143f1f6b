"""Operator commands say in a line what they lack."""

import subprocess
import sys

import pytest


def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "limpet", *words], env=variables, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("command", [pytest.param("check", marks=pytest.mark.long), "migrate"])
def test_nothing_is_well_where_no_database_is_named(command: str) -> None:
    told = run(command)
    assert told.returncode == 1
    assert "LIMPET_DATABASES is not set" in told.stderr


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        pytest.param("LIMPET_WAIT", "secret", marks=pytest.mark.long),
        pytest.param("LIMPET_DATABASES", "secret", marks=pytest.mark.long),
        ("LIMPET_DATABASES", '["secret"]'),
    ],
)
def test_a_malformed_setting_is_named_without_its_value(variable: str, value: str) -> None:
    told = run("check", **{variable: value})
    assert told.returncode == 1
    assert variable.removeprefix("LIMPET_").lower() in told.stderr.lower()
    assert "Traceback" not in told.stderr
    assert "secret" not in told.stderr


@pytest.mark.parametrize(
    ("variable", "value", "rule"),
    [
        ("DATABASES", '{"main": "postgres://u:secret@h/d"}', ": main: must begin with postgresql+psycopg://"),
        pytest.param(
            "DATABASES",
            '{"main": "postgresql+psycopg2://u:secret@h/d"}',
            ": main: must begin with postgresql+psycopg://",
            marks=pytest.mark.long,
        ),
        pytest.param("MAX_BODY", "-5", ": Input should be greater than 0", marks=pytest.mark.long),
        pytest.param("MAX_ITEMS", "0", ": Input should be greater than 0", marks=pytest.mark.long),
        pytest.param("SPOOL_FREE", "-1", ": Input should be greater than or equal to 0", marks=pytest.mark.long),
        pytest.param("WAIT", "-1", ": must not be negative", marks=pytest.mark.long),
        ("LEASE", "0", ": must not be 0"),
    ],
)
def test_a_setting_out_of_bounds_is_refused_with_the_rule(variable: str, value: str, rule: str) -> None:
    told = run("check", **{f"LIMPET_{variable}": value})
    assert told.returncode == 1
    assert told.stderr.startswith(f"LIMPET_{variable}{rule}")
    assert told.stderr.count("\n") == 1
    assert "secret" not in told.stderr


def test_a_database_that_is_away_is_told_in_a_line() -> None:
    told = run("migrate", LIMPET_DATABASES='{"demo": "postgresql+psycopg://127.0.0.1:1/demo"}')
    assert told.returncode == 1
    assert "Connection refused" in told.stderr
    assert "Traceback" not in told.stderr
