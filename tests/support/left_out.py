"""Tells at the end of a run how many long tests it left to ``make test-all``."""

from typing import Any

import pytest

_SENTENCE = "{} tests are left to `make test-all`: storms, kills at random, limits, large imports."


class LeftOut:
    """Counts the long tests that a run deselects, also in the processes of pytest-xdist."""

    def __init__(self) -> None:
        self.count = 0

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        self.count += sum(item.get_closest_marker("long") is not None for item in items)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if (output := getattr(session.config, "workeroutput", None)) is not None:
            output["left_out"] = self.count

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        self.count = max(self.count, getattr(node, "workeroutput", {}).get("left_out", 0))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.count:
            terminalreporter.write_line(_SENTENCE.format(self.count))
