"""Sends batches over HTTP from several clients at once, and reads every outcome."""

import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue

from bench.servers import Answer, Caller

_DONE_STATUS = 207


def burst(callers: Sequence[Caller], bodies: Sequence[bytes]) -> float:
    """Send each body once, from all callers at once; return the seconds until all answers are read.

    Raises:
        RuntimeError: a batch is not done, or an item was not created or updated.

    """
    waiting: SimpleQueue[bytes] = SimpleQueue()
    for body in bodies:
        waiting.put(body)
    with ThreadPoolExecutor(len(callers)) as pool:
        began = time.perf_counter()
        answers = [answer for some in pool.map(lambda caller: _send(caller, waiting), callers) for answer in some]
        seconds = time.perf_counter() - began
    for answer in answers:
        check(answer)
    return seconds


def _send(caller: Caller, waiting: SimpleQueue[bytes]) -> list[Answer]:
    answers = []
    try:
        while True:
            answers.append(caller.put(waiting.get_nowait()))
    except Empty:
        return answers


def check(answer: Answer) -> None:
    """Check that every item of a batch was created or updated.

    Raises:
        RuntimeError: an item was not.

    """
    if answer.status != _DONE_STATUS:
        raise RuntimeError(f"HTTP {answer.status}: {answer.body[:300]!r}")
    report = json.loads(answer.body)
    if isinstance(report, dict) and any(item["status"] not in (200, 201) for item in report["data"]):
        raise RuntimeError(f"an item was not carried out: {answer.body[:300]!r}")
