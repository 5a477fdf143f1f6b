"""What is logged is one line, whatever its facts hold."""

import logging

import pytest

from worker.log import log_event


def test_a_fact_can_not_begin_a_line_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "limpet"):
        log_event("request.hung_up", path="/jsonapi/a\r\n2026-11-22 INFO batch.accepted\u2028x=1", size=3)
    assert caplog.messages == ["request.hung_up path=/jsonapi/a??2026-11-22 INFO batch.accepted?x=1 size=3"]
