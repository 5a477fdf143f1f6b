"""Calls the API: repeats each request under its Idempotency-Key, and records times and answers."""

import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from chaos.load.answers import AnsweredEnd, read_ends
from chaos.load.requests import Request

_RETRY_SECONDS = 0.3


class GaveUpError(Exception):
    """No answer arrived before the end of the run."""


@dataclass(frozen=True, slots=True)
class Span:
    """Times of a request's first sending and its answer, in seconds of the monotonic clock."""

    sent: float = -math.inf
    answered: float = math.inf


@dataclass
class Calls:
    """Sends requests, and keeps their spans and the ends of their items by name. Threads share it."""

    variables: Mapping[str, str]
    give_up: threading.Event = field(default_factory=threading.Event)
    spans: dict[str, Span] = field(default_factory=dict)
    ends: dict[str, dict[int, AnsweredEnd]] = field(default_factory=dict)
    repeats: int = 0

    def client(self) -> httpx.Client:
        """Return an HTTP client of database demo, with the credentials of both APIs."""
        headers = {
            "vbasoftware-database": "demo",
            "x-api-key": self.variables["LIMPET_API_KEY"],
            "Authorization": f"Bearer {self.variables['LIMPET_TOKEN']}",
            "ALFSSOAuthNToken": self.variables["LIMPET_TOKEN"],
        }
        return httpx.Client(
            base_url=self.variables["LIMPET_URL"],
            headers=headers,
            timeout=httpx.Timeout(40, connect=3),
            trust_env=False,
        )

    def send(self, http: httpx.Client, request: Request) -> httpx.Response:
        """Send a request until it is answered; record its span and the ends of its items.

        Raises:
            GaveUpError: the run ended before an answer.
            RuntimeError: the API refused the whole request.

        """
        headers = {"Idempotency-Key": request.name, "Prefer": request.prefer, "Content-Type": "application/json"}
        content = request.body()
        sent = self.spans.get(request.name, Span(time.monotonic())).sent
        self.spans[request.name] = Span(sent)
        answer = self.ask(lambda: http.request(request.method, request.path, content=content, headers=headers))
        if not _has_batch(answer):
            raise RuntimeError(f"{request.name}: HTTP {answer.status_code} {answer.text[:500]}")
        self.spans[request.name] = Span(sent, time.monotonic())
        self.ends[request.name] = read_ends(answer, len(request.items))
        return answer

    def ask(self, request: Callable[[], httpx.Response]) -> httpx.Response:
        """Repeat a request until its answer is neither busy (408, 429) nor a server error without a batch.

        Raises:
            GaveUpError: the run ended before such an answer.

        """
        while not self.give_up.is_set():
            try:
                answer = request()
            except httpx.TransportError:
                pass
            else:
                if _has_batch(answer) or not _is_busy(answer.status_code):
                    return answer
            self.repeats += 1
            self.give_up.wait(_RETRY_SECONDS)
        raise GaveUpError

    def await_end(self, http: httpx.Client, href: str) -> dict[str, Any]:
        """Wait for a batch to end, and return it.

        Raises:
            GaveUpError: the run ended before the batch.

        """
        while True:
            batch: dict[str, Any] = self.ask(lambda: http.get(href, headers={"Prefer": "wait=5"})).json()
            if batch["state"] in ("finished", "cancelled"):
                return batch


def _is_busy(status: int) -> bool:
    return status in (408, 429) or status >= httpx.codes.INTERNAL_SERVER_ERROR


def _has_batch(answer: httpx.Response) -> bool:
    if answer.status_code == httpx.codes.NO_CONTENT:
        return True
    if not answer.headers.get("content-type", "").startswith("application/json"):
        return False
    body = answer.json()
    return isinstance(body, dict) and bool(body.get("batch"))
