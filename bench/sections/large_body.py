"""Row 7: one large body of base64: memory growth, and rate of storing."""

import base64
import json
import random
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

from bench.import_rows import memory, processes
from bench.keys import fresh
from bench.report.lines import Goal, Line
from bench.sections.imports import MB, time_minio
from bench.servers import Servers
from bench.sizes import Sizes

_PIECE_BYTES = 3 * 2**16  # whole groups of base64
_SERVER_NAMES = ("postgres", "redis", "s3")
_MINIO_THREADS = 1  # one body is one content


def measure(servers: Servers, sizes: Sizes) -> list[Line]:
    """Send the body and store the same bytes with minio-py, in turns."""
    ours: list[float] = []
    alone: list[float] = []
    grown: dict[str, int] = {}
    pieces = sizes.base64_mb * MB * 3 // 4 // _PIECE_BYTES
    size = pieces * _PIECE_BYTES / MB
    for _ in range(sizes.rounds):
        content = random.Random(fresh(1)).randbytes(pieces * _PIECE_BYTES)
        alone.append(size / _time_alone(servers, content))
        before = _reset_peaks(servers)
        ours.append(size / _time_batch(servers, content))
        for name, bytes_ in _measure_growth(servers, before).items():
            grown[name] = max(grown.get(name, 0), bytes_)
    what = f"{sizes.base64_mb} MB of base64 in one body"
    own = {name: value for name, value in grown.items() if name not in _SERVER_NAMES}
    worst = max(own, key=lambda name: own[name])
    return [
        Line(7, f"{what}: (g) minio-py alone", "MB/s", ours, alone, Goal("≥", 0.5)),
        Line(7, f"{what}: growth of {worst}, most of ours", "MB", [own[worst] / MB], goal=Goal("≤", 64)),
        *(Line(7, f"{what}: growth of {name}", "MB", [grown[name] / MB]) for name in _SERVER_NAMES if name in grown),
    ]


def _time_alone(servers: Servers, content: bytes) -> float:
    folder = servers.data / "body"
    folder.mkdir(exist_ok=True)
    (folder / "content.bin").write_bytes(content)
    return time_minio(servers, folder, _MINIO_THREADS)


def _time_batch(servers: Servers, content: bytes) -> float:
    """Return the seconds from the first byte sent until the batch is finished."""
    body = list(_body(fresh(1), content))  # encoded before the clock starts, as minio-py's file is written before
    with closing(servers.caller()) as caller:
        began = time.perf_counter()
        answer = caller.put(iter(body))
        batch = json.loads(answer.body)["batch"]
        while batch["state"] != "finished":
            batch = json.loads(caller.send("GET", batch["href"], Prefer="wait=30").body)
        return time.perf_counter() - began


def _body(key: int, content: bytes) -> Iterator[bytes]:
    yield b'[{"caseAttachment_Key":%d,"case_Key":1,"attachment":"' % key
    for start in range(0, len(content), _PIECE_BYTES):
        yield base64.b64encode(content[start : start + _PIECE_BYTES])
    yield b'"}]'


def _reset_peaks(servers: Servers) -> dict[int, tuple[str, int]]:
    """Reset the peak memory of every process; return their names and present memory."""
    found = {}
    for pid, name in processes(servers.data).items():
        with suppress(FileNotFoundError, ProcessLookupError):  # a backend of PostgreSQL has just ended
            Path(f"/proc/{pid}/clear_refs").write_text("5")
            found[pid] = (name, memory(pid, name))
    return found


def _measure_growth(servers: Servers, before: dict[int, tuple[str, int]]) -> dict[str, int]:
    """Return the largest peak growth in bytes among the processes of each name."""
    grown: dict[str, int] = {}
    for pid, name in processes(servers.data).items():
        if pid in before:
            growth = memory(pid, name, peak=True) - before[pid][1]
            grown[name] = max(grown.get(name, 0), growth)
    return grown
