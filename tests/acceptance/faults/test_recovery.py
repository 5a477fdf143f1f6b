"""Each fault by itself, with a deadline: what it hits works again, and what was accepted before it ends right."""

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from support.case_attachments import b64, fresh_keys, item, put, read

from chaos.faults.actions import FAULTS, FLUSH, Fault, find_targets, flush, inject
from chaos.faults.probes import Probes
from chaos.load.calls import Calls
from chaos.load.requests import Load
from chaos.processes import process
from chaos.stack import Stack

DEADLINE = 60.0  # seconds from the blow on, on a machine that does other things besides
OF_THE_WHOLE = DEADLINE + 90  # so long may `limpet up` take to be ready
_STOPPED = 1.5

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes through /proc"),
]


@contextmanager
def within(calls: Calls, seconds: float) -> Iterator[None]:
    """Give up waiting for answers so many seconds from now; who comes after may wait again."""
    timer = threading.Timer(seconds, calls.give_up.set)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        calls.give_up.clear()


@pytest.fixture(scope="module")
def probes(stack: dict[str, str]) -> Probes:
    return Probes(Calls(stack), Load(random.randrange(10**9), small=True), Path(stack["data"]))


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault.target != "up"], ids=str)
def test_what_a_fault_hits_works_again_and_nothing_is_lost(
    stack: dict[str, str], client: httpx.Client, probes: Probes, fault: Fault
) -> None:
    up = process(int(stack["pid"]))
    assert up is not None
    keys = fresh_keys(40)
    before = put(client, [item(k, attachment=b64(b"%d" % k)) for k in keys], Prefer="respond-async").json()["batch"]
    struck = find_targets(probes.data, up, fault, random.Random())
    assert struck
    with within(probes.calls, DEADLINE):
        assert flush(stack) if fault == FLUSH else inject(fault, struck, _STOPPED)
        probes.await_recovery(fault.target, up.pid)
        assert probes.calls.await_end(client, before["href"])["counts"] == {"created": 40}
    assert read(client, keys[-1])["attachment"] == b64(b"%d" % keys[-1])


def test_a_stack_that_is_struck_as_a_whole_starts_again_with_all_that_it_had(tmp_path: Path) -> None:
    with Stack(tmp_path / "data") as stack:
        calls = Calls(stack.variables)
        probes = Probes(calls, Load(1, small=True), stack.data)
        hrefs = []
        for fault in (Fault("up", "STOP"), Fault("up", "TERM"), Fault("up", "KILL")):
            with calls.client() as http:
                items = [item(k) for k in fresh_keys(500)]
                hrefs.append(put(http, items, Prefer="respond-async").json()["batch"]["href"])
            with within(calls, OF_THE_WHOLE):
                assert inject(fault, [stack.up], _STOPPED)
                if fault.action != "STOP":
                    stack.restart()
                probes.await_recovery("up", stack.up.pid)
        with calls.client() as http:
            assert [calls.await_end(http, href)["counts"] for href in hrefs] == [{"created": 500}] * 3
