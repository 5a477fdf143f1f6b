"""The house keeps its walls: small folders, files and functions, one meaning for each class name, silent packages."""

import ast
import subprocess
from collections import Counter, defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parent
while not (ROOT / "pyproject.toml").exists():
    ROOT = ROOT.parent
PACKAGES = ("schemas", "worker", "api_stub", "limpet")
MAX_FOLDER_FILES, MAX_FILE_LINES, MAX_BODY_LINES = 16, 250, 40
MAX_TEST_LINES = 400


def _tracked() -> list[Path]:
    names = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], check=False, cwd=ROOT, capture_output=True, text=True
    )
    if names.returncode:
        pytest.skip("no repository, so nothing says which files are its own", allow_module_level=True)
    return [Path(name) for name in names.stdout.splitlines() if (ROOT / name).exists()]


FILES = _tracked()
SOURCES = [path for path in FILES if path.suffix == ".py" and path.parts[0] in PACKAGES]


def _tree(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text())


def test_no_folder_holds_more_files_than_a_person_takes_in_at_a_glance() -> None:
    counts = Counter(str(path.parent) for path in FILES)
    assert {folder: count for folder, count in counts.items() if count > MAX_FOLDER_FILES} == {}


def test_no_file_is_longer_than_its_wall() -> None:
    walls = {path: MAX_TEST_LINES if path.parts[0] in ("tests", "bench", "chaos") else MAX_FILE_LINES for path in FILES}
    lengths = {path: (ROOT / path).read_text().count("\n") for path in FILES if path.suffix == ".py"}
    assert {str(p): n for p, n in lengths.items() if n > walls[p] and "versions" not in p.parts} == {}


def test_no_body_is_longer_than_a_screen() -> None:
    long = {}
    for path in SOURCES:
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and "versions" not in path.parts:
                assert node.end_lineno is not None
                if (lines := node.end_lineno - node.body[0].lineno + 1) > MAX_BODY_LINES:
                    long[f"{path}:{node.name}"] = lines
    assert long == {}


def test_every_class_name_means_one_thing() -> None:
    homes = defaultdict(list)
    for path in SOURCES:
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.ClassDef):
                homes[node.name].append(str(path))
    assert {name: places for name, places in homes.items() if len(places) > 1} == {}


def test_a_package_says_what_it_is_and_passes_nothing_on() -> None:
    for path in SOURCES:
        if path.name == "__init__.py":
            (only,) = _tree(path).body
            assert isinstance(only, ast.Expr), f"{path} is a docstring"
            assert isinstance(only.value, ast.Constant)
