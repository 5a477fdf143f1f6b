"""Flat memory: bodies of 200 MB go through, and no process of ours grows by more than 64 MB."""

import base64
import random
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from support.case_attachments import fresh_keys
from support.processes import pids

MB = 2**20
TEXT = 200 * MB


def processes(stack: dict[str, str]) -> dict[str, int]:
    """API, relay, and the workers with their children."""
    running = pids(stack)
    named = {"api": running["api"], "relay": running["relay"]}
    for parent in running["worker"]:
        named[f"worker {parent}"] = parent
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        named |= {f"worker child {child}": int(child) for child in children}
    return named


def memory(pid: int, field: str) -> int:
    found = re.search(rf"{field}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) * 1024


def body(keys: list[int], size: int, seed: int) -> Iterator[bytes]:
    """A batch whose contents are random, all different, and of ``size`` bytes each, in pieces."""
    dice = random.Random(seed)
    for n, key in enumerate(keys):
        yield b'[{"caseAttachment_Key":' if n == 0 else b'},{"caseAttachment_Key":'
        yield b'%d,"case_Key":1,"attachment":"' % key
        for _ in range(0, size, 3 * 2**16):
            yield base64.b64encode(dice.randbytes(min(size, 3 * 2**16)))
        yield b'"'
    yield b"}]"


@pytest.mark.parametrize(
    ("count", "size"),
    [(1, 768 * 3 * 2**16), (12, 64 * 3 * 2**16), pytest.param(3000, 50_000 // 3 * 3, marks=pytest.mark.long)],
)
def test_200_mb_of_base64_in_one_body_leave_memory_flat(
    stack: dict[str, str], client: httpx.Client, count: int, size: int
) -> None:
    keys = fresh_keys(count)
    before = {name: memory(pid, "VmRSS") for name, pid in processes(stack).items()}
    for pid in processes(stack).values():
        Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak is counted from here on
    answer = client.put(
        "/case-attachments-batch",
        content=body(keys, size, count),
        headers={"Content-Type": "application/json", "Prefer": "respond-async"},
        timeout=120,
    )
    assert answer.status_code == 202, answer.text[:500]
    href = answer.json()["batch"]["href"]
    for _ in range(5):
        if client.get(href, headers={"Prefer": "wait=30"}).json()["state"] == "finished":
            break
    assert client.get(href).json()["counts"] == {"created": count}
    grown = {
        name: (memory(pid, "VmHWM") - before[name]) // MB for name, pid in processes(stack).items() if name in before
    }
    assert max(grown.values()) <= 64, grown
    dice = random.Random(count)
    first = b"".join(dice.randbytes(min(size, 3 * 2**16)) for _ in range(0, size, 3 * 2**16))
    assert client.get(f"/case-attachments/{keys[0]}/content").content == first
