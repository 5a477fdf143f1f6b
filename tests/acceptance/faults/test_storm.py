"""The fault harness, for a short while: every part is struck under load, and every promise is kept."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from chaos.faults.actions import ACTIONS

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes through /proc"),
]


@pytest.mark.timeout(900)
def test_a_storm_loses_nothing_doubles_nothing_and_keeps_the_order() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LIMPET_")}
    done = subprocess.run(
        [sys.executable, "-m", "chaos", "--minutes", "0.5"],
        cwd=Path(__file__).parents[3],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=840,
    )
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stdout + done.stderr
    assert lines[-1] == "lost 0, doubled 0, out of order 0, differing 0, taken back 0, orphans 0"
    struck = {line.rpartition("  ")[0].strip() for line in lines}
    assert all(any(name.startswith(victim) for name in struck) for victim in ACTIONS)
