"""The fault harness by itself: what it sends is repeatable, and no kind of fault is forgotten."""

import base64
import itertools
import json
import random

import pytest

from chaos.faults import BLOWS, FAULTS, FLUSH, Tally, deck
from chaos.load import Content, Load

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
    first = list(itertools.islice(deck(random.Random(1)), len(BLOWS) + 1))
    assert {fault.victim for fault in first} == set(BLOWS)
    assert FLUSH in first


def test_a_run_is_none_until_every_kind_of_fault_has_happened() -> None:
    tally = Tally()
    for fault in itertools.islice(deck(random.Random(1)), len(BLOWS) + 1):
        tally.happened(fault)
    assert tally.missing(every_blow=False) == []
    assert tally.missing(every_blow=True) == [str(fault) for fault in FAULTS if not tally.made[fault]] != []
    for fault in itertools.islice(deck(random.Random(2)), 80):
        tally.happened(fault)
    assert tally.missing(every_blow=True) == []
