"""The clients: threads that send at the same time, to the same few records among others."""

import csv
import os
import random
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx

from chaos.load.calls import Calls, GaveUpError, Span
from chaos.load.requests import Content, Load

_AHEAD = 10  # batches of one client that may be unfinished
_REMEMBERED = 100
_SOME_FAILED = 3
_FAMILIES = ("case_attachments", "file_attachments")


@dataclass
class Clients:
    """All clients of one run. ``broken`` has what none of them should have met."""

    load: Load
    calls: Calls
    folder: Path
    stop: threading.Event = field(default_factory=threading.Event)
    broken: list[str] = field(default_factory=list)
    imports: int = 0
    _recent: deque[str] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self, bulk: int, small: int) -> None:
        """Start so many clients with large and with small batches, and the others."""
        for number in range(bulk):
            self.spawn(self._send, f"bulk{number}", 0.4)
        for number in range(small):
            self.spawn(self._send, f"small{number}", 0.25)
        for number in range(2):
            self.spawn(self._send, f"single{number}", 0.1)
            self.spawn(self._send, f"files{number}", 0.2)
        self.spawn(self._import)
        self.spawn(self._steer)

    def spawn(self, work: Callable[..., None], *arguments: object) -> threading.Thread:
        """Run ``work`` in a thread; what it raises breaks the run."""

        def guarded() -> None:
            try:
                work(*arguments)
            except GaveUpError:
                self.broken.append(f"{work.__name__} {arguments}: no answer before the end")
            except Exception as fault:  # noqa: BLE001  told at the end, and the run fails
                self.broken.append(f"{work.__name__} {arguments}: {type(fault).__name__}: {fault}")

        thread = threading.Thread(target=guarded, name=f"{work.__name__} {arguments}", daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def end(self, seconds: float) -> None:
        """Let every client finish what it is at, for so long."""
        self.stop.set()
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self.calls.give_up.set()
        for thread in self._threads:
            thread.join(60)

    def _send(self, client: str, pause: float) -> None:
        dice = random.Random(f"{self.load.seed} {client}")
        unfinished: deque[str] = deque()
        number = 0
        with self.calls.client() as http:
            while not self.stop.is_set():
                answer = self.calls.make(http, self.load.request(f"{client}.{number}"))
                number += 1
                if answer.content:
                    href = answer.json()["batch"]["href"]
                    unfinished.append(href)
                    if client.startswith(("small", "files")):
                        self._recent.append(href)
                if len(unfinished) > _AHEAD:
                    self.calls.ended(http, unfinished.popleft())
                self.stop.wait(dice.uniform(0, 2 * pause))

    def _steer(self) -> None:
        """Cancel some batches of either family, and retry what failed in others."""
        dice = random.Random(f"{self.load.seed} steer")
        with self.calls.client() as http:
            while not self.stop.wait(dice.uniform(0.2, 1.2)):
                if dice.random() < 0.15 and self._recent:
                    href = dice.choice(list(self._recent))
                    self.calls.insist(partial(http.post, f"{href}/cancel"))
                elif failed := self._failed(http, dice.choice(_FAMILIES)):
                    self._retry(http, dice.choice(failed))

    def _failed(self, http: httpx.Client, family: str) -> list[str]:
        """Return some of the newest batches of a family with items that failed, not yet ended ones among them."""
        found = self.calls.insist(lambda: http.get("/batches?outcome=failed&limit=100")).json()["batches"]
        return [batch["href"] for batch in found if batch["kind"] == family]

    def _retry(self, http: httpx.Client, href: str) -> None:
        sent = time.monotonic()
        try:
            answer = http.post(f"{href}/retry")
        except httpx.TransportError:
            return  # whether a child was made is in the ledger only
        if answer.status_code == httpx.codes.ACCEPTED:
            child = answer.json()
            self.calls.spans[child["id"]] = Span(sent, time.monotonic())
            self._recent.append(child["href"])

    def _import(self) -> None:
        """Run the command ``limpet import`` again and again, each time on another manifest."""
        number = 0
        while not self.stop.is_set():
            name = f"import.{number}"
            manifest = self._write_manifest(name)
            self.calls.spans[name] = Span(time.monotonic())
            while self._run_command(name, manifest) not in (0, _SOME_FAILED):
                if self.calls.give_up.wait(1):
                    raise GaveUpError
            self.imports += 1
            number += 1

    def _write_manifest(self, name: str) -> Path:
        files = self.folder / name
        files.mkdir(parents=True)
        rows = []
        for position, row in enumerate(self.load.rows(name)):
            content = row.fields.get("attachment")
            if isinstance(content, Content):
                (files / f"{position}.bin").write_bytes(content.data())
            path = f"{position}.bin" if content else ""
            rows.append([row.key, 1, row.fields["comment"], path])
        manifest = files.with_suffix(".csv")
        with manifest.open("w", newline="") as file:
            csv.writer(file).writerows([["caseAttachment_Key", "case_Key", "comment", "attachment_Path"], *rows])
        return manifest

    def _run_command(self, name: str, manifest: Path) -> int:
        variables = {n: v for n, v in self.calls.variables.items() if n.startswith("LIMPET_")}
        files = self.folder / name
        process = subprocess.Popen(
            [sys.executable, "-m", "limpet", "import", str(manifest), "--files", str(files), "--name", name, "--json"],
            env={**os.environ, **variables, "LIMPET_DATABASE": "demo"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            while process.poll() is None:
                if self.calls.give_up.wait(0.1):
                    raise GaveUpError
        finally:
            process.kill()
            process.wait()
        return process.returncode
