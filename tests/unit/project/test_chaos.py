"""The fault harness by itself: what it sends is repeatable, and no kind of fault is forgotten."""

import base64
import itertools
import json
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from chaos.faults.actions import ACTIONS, FAULTS, FLUSH, Fault, Tally, draw_faults, inject
from chaos.load.answers import AnsweredEnd, read_ends
from chaos.load.requests import Content, Load
from chaos.models.file_attachments import SerialFiles
from chaos.processes import process

NAMES = ("bulk0.3", "small1.7", "single0.2", "files1.5", "probe.4")


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_repeats_what_is_sent(name: str) -> None:
    one, again, other = (Load(seed, small=True).request(name) for seed in (1, 1, 2))
    assert (one.method, one.path, one.items, one.body()) == (again.method, again.path, again.items, again.body())
    assert one.items != other.items


def test_the_body_of_a_batch_says_what_its_items_are() -> None:
    request = Load(5, small=True).request("small0.1")
    sent = json.loads(request.body())
    assert [entry["caseAttachment_Key"] for entry in sent] == [item.key for item in request.items]
    for entry, item in zip(sent, request.items, strict=True):
        content = item.fields.get("attachment")
        if isinstance(content, Content):
            assert base64.b64decode(entry["attachment"]) == content.data()
            assert len(content.data()) == content.size


def test_in_every_round_each_victim_is_struck_and_the_broker_emptied() -> None:
    first = list(itertools.islice(draw_faults(random.Random(1)), len(ACTIONS) + 1))
    assert {fault.target for fault in first} == set(ACTIONS)
    assert FLUSH in first


def test_a_run_is_none_until_every_kind_of_fault_has_happened() -> None:
    tally = Tally()
    for fault in itertools.islice(draw_faults(random.Random(1)), len(ACTIONS) + 1):
        tally.happened(fault)
    assert tally.missing(every_action=False) == []
    assert tally.missing(every_action=True) == [str(fault) for fault in FAULTS if not tally.made[fault]] != []
    for fault in itertools.islice(draw_faults(random.Random(2)), 80):
        tally.happened(fault)
    assert tally.missing(every_action=True) == []


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes through /proc")
def test_only_who_was_there_can_be_struck() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as started:
        found = process(started.pid)
        assert found is not None
        assert inject(Fault("relay", "STOP"), [found], 0)
        assert inject(Fault("relay", "KILL"), [found], 0)
        assert not any(inject(Fault("relay", blow), [found], 0) for blow in ("KILL", "TERM", "STOP")), "it is dead"
        assert not found.send(signal.SIGCONT)


_BATCH = [{"position": 0, "status": 201, "outcome": "created"}, {"position": 1, "status": 202, "outcome": "pending"}]


@pytest.mark.parametrize(
    ("status", "body", "items", "ends"),
    [
        (207, {"data": _BATCH}, 2, {0: AnsweredEnd(201, "created")}),
        (200, {"actions": _BATCH}, 3, {1: AnsweredEnd(201, "created")}),  # the first of the three deletes all
        (202, {"data": None}, 1, {}),
        (409, {"data": None}, 1, {0: AnsweredEnd(409)}),
        (204, None, 1, {0: AnsweredEnd(204)}),
    ],
)
def test_what_an_answer_tells_of_each_item(status: int, body: Any, items: int, ends: dict[int, AnsweredEnd]) -> None:
    answer = httpx.Response(status, json=body) if body else httpx.Response(status)
    assert read_ends(answer, items) == ends


def test_a_file_s_retry_is_overtaken_by_a_later_change_or_by_a_deletion_that_may_mean_the_same() -> None:
    model, wanted = SerialFiles(), {"action": "NEW-UPDATE", "filename": "a", "contents": b""}
    assert not model.overtaken(wanted, (9, 0), retry_of=(1, 0))
    model.carry_out(wanted, 5, (2, 0))
    assert model.overtaken(wanted, (9, 0), retry_of=(1, 0))
    assert not model.overtaken(wanted, (9, 0), retry_of=(3, 0)), "the change came first"
    assert not model.overtaken(wanted, (2, 1), retry_of=(1, 0)), "the change is of the same retry"
    model.carry_out({"action": "DELETE", "title": "a"}, 5, (4, 0))
    assert model.overtaken(wanted, (9, 0), retry_of=(3, 0))
    assert not model.overtaken({**wanted, "title": "b"}, (9, 0), retry_of=(3, 0)), "that one was another's"
