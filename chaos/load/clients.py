"""The clients: threads that send concurrently, partly to the same few records."""

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

_MAX_UNFINISHED = 10  # batches of one client that may be unfinished
_MAX_RECENT = 100
_SOME_FAILED_EXIT_CODE = 3
_BATCH_KINDS = ("case_attachments", "file_attachments")


@dataclass
class Clients:
    """All clients of one run. ``errors`` has their unexpected errors."""

    load: Load
    calls: Calls
    folder: Path
    stop: threading.Event = field(default_factory=threading.Event)
    errors: list[str] = field(default_factory=list)
    imports: int = 0
    _recent: deque[str] = field(default_factory=lambda: deque(maxlen=_MAX_RECENT))
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self, bulk: int, small: int) -> None:
        """Start ``bulk`` clients with large and ``small`` clients with small batches, and the other clients."""
        for number in range(bulk):
            self.spawn(self._send, f"bulk{number}", 0.4)
        for number in range(small):
            self.spawn(self._send, f"small{number}", 0.25)
        for number in range(2):
            self.spawn(self._send, f"single{number}", 0.1)
            self.spawn(self._send, f"files{number}", 0.2)
        self.spawn(self._import)
        self.spawn(self._cancel_and_retry)

    def spawn(self, work: Callable[..., None], *arguments: object) -> threading.Thread:
        """Run ``work`` in a thread; an exception of it fails the run."""

        def guarded() -> None:
            try:
                work(*arguments)
            except GaveUpError:
                self.errors.append(f"{work.__name__} {arguments}: no answer before the end")
            except Exception as error:  # noqa: BLE001  reported at the end, and fails the run
                self.errors.append(f"{work.__name__} {arguments}: {type(error).__name__}: {error}")

        thread = threading.Thread(target=guarded, name=f"{work.__name__} {arguments}", daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def end(self, seconds: float) -> None:
        """Stop the clients; give them ``seconds`` to finish their current work."""
        self.stop.set()
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self.calls.give_up.set()
        for thread in self._threads:
            thread.join(60)

    def _send(self, client: str, pause: float) -> None:
        rng = random.Random(f"{self.load.seed} {client}")
        unfinished: deque[str] = deque()
        number = 0
        with self.calls.client() as http:
            while not self.stop.is_set():
                answer = self.calls.send(http, self.load.request(f"{client}.{number}"))
                number += 1
                if answer.content:
                    href = answer.json()["batch"]["href"]
                    unfinished.append(href)
                    if client.startswith(("small", "files")):
                        self._recent.append(href)
                if len(unfinished) > _MAX_UNFINISHED:
                    self.calls.await_end(http, unfinished.popleft())
                self.stop.wait(rng.uniform(0, 2 * pause))

    def _cancel_and_retry(self) -> None:
        """Cancel some batches of either kind, and retry the failed items of others."""
        rng = random.Random(f"{self.load.seed} steer")
        with self.calls.client() as http:
            while not self.stop.wait(rng.uniform(0.2, 1.2)):
                if rng.random() < 0.15 and self._recent:
                    href = rng.choice(list(self._recent))
                    self.calls.ask(partial(http.post, f"{href}/cancel"))
                elif failed := self._find_failed(http, rng.choice(_BATCH_KINDS)):
                    self._retry(http, rng.choice(failed))

    def _find_failed(self, http: httpx.Client, kind: str) -> list[str]:
        """Return the newest batches of a kind that have failed items, unfinished batches included."""
        found = self.calls.ask(lambda: http.get("/batches?outcome=failed&limit=100")).json()["batches"]
        return [batch["href"] for batch in found if batch["kind"] == kind]

    def _retry(self, http: httpx.Client, href: str) -> None:
        sent = time.monotonic()
        try:
            answer = http.post(f"{href}/retry")
        except httpx.TransportError:
            return  # only the ledger knows whether the retry was accepted
        if answer.status_code == httpx.codes.ACCEPTED:
            child = answer.json()
            self.calls.spans[child["id"]] = Span(sent, time.monotonic())
            self._recent.append(child["href"])

    def _import(self) -> None:
        """Run ``limpet import`` repeatedly, each time on another manifest."""
        number = 0
        while not self.stop.is_set():
            name = f"import.{number}"
            manifest = self._write_manifest(name)
            self.calls.spans[name] = Span(time.monotonic())
            while self._run_command(name, manifest) not in (0, _SOME_FAILED_EXIT_CODE):
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
