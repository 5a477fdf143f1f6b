"""The table of promises in ``docs/development.md`` names tests that there are, and the run that each is in."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
ROW = re.compile(r"^\| (.*?) ?\| `(\S+)::(\w+)` \| (test|test-all) \|$", re.MULTILINE)
PROMISES = ["Durable", "Once", "Order", "Isolation", "Flat memory", "No orphans", "Read your writes"]


def rows() -> list[tuple[str, str, str, str]]:
    """Each row: the short name of its promise, the file below tests/, the test, and the run."""
    found = []
    promise = ""
    for named, file, test, run in ROW.findall((ROOT / "docs" / "development.md").read_text()):
        promise = named.partition(":")[0] or promise
        found.append((promise, file, test, run))
    return found


def marked_long(nodes: list[ast.expr]) -> bool:
    return any(ast.unparse(node) == "pytest.mark.long" for node in nodes)


def run_of(file: str, test: str) -> str | None:
    """The run that the test is in with one of its parameters at least; None if there is no such test."""
    path = ROOT / "tests" / file
    module = ast.parse(path.read_text()) if path.exists() else ast.Module([], [])
    functions = {node.name: node for node in module.body if isinstance(node, ast.FunctionDef)}
    if test not in functions:
        return None
    of_module = [
        mark
        for node in module.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark"
        for mark in (node.value.elts if isinstance(node.value, ast.List) else [node.value])
    ]
    return "test-all" if marked_long([*of_module, *functions[test].decorator_list]) else "test"


@pytest.mark.parametrize(("promise", "file", "test", "run"), rows())
def test_a_test_of_the_table_is_in_the_run_that_the_table_says(promise: str, file: str, test: str, run: str) -> None:
    assert run_of(file, test) == run, f"{promise}: tests/{file}::{test}"


def test_every_promise_has_a_test_in_the_quick_run() -> None:
    quick = {promise for promise, _, _, run in rows() if run == "test"}
    assert quick == {promise for promise, *_ in rows()}
    assert set(PROMISES) <= quick


def test_every_row_of_the_table_is_read() -> None:
    text = (ROOT / "docs" / "development.md").read_text().partition("| promise |")[2].partition("\n\n")[0]
    assert len(rows()) == len(text.splitlines()) - 2
