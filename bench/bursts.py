"""Batches over HTTP, sent by several clients at once and read to the last outcome."""

import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue

from bench.servers import Answer, Caller

DONE = 207


def burst(callers: Sequence[Caller], bodies: Sequence[bytes]) -> float:
    """Send each body once, every caller one after another; return the seconds until all answers are read.

    Raises:
        RuntimeError: an answer says that its batch is not done, or that an item was refused.

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
    """Look whether every item of a batch is created or updated.

    Raises:
        RuntimeError: it is not.

    """
    if answer.status != DONE:
        raise RuntimeError(f"HTTP {answer.status}: {answer.body[:300]!r}")
    said = json.loads(answer.body)
    if isinstance(said, dict) and any(item["status"] not in (200, 201) for item in said["data"]):
        raise RuntimeError(f"an item was not carried out: {answer.body[:300]!r}")
