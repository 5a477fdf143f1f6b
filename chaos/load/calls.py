"""What was said to the API, and when; a request is repeated under its Idempotency-Key until it is answered."""

import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from chaos.load.answers import Told, ends_told
from chaos.load.requests import Request

_AGAIN = 0.3  # seconds
_BUSY = (408, 429)
_SERVERS_FAULT = 500


class GaveUpError(Exception):
    """No answer came before the end of the run."""


@dataclass(frozen=True, slots=True)
class Span:
    """From when a request was first sent to when it was answered, in seconds of the monotonic clock."""

    sent: float = -math.inf
    answered: float = math.inf


@dataclass
class Calls:
    """The spans of all requests by name, what was told of their items, and the way to make more. Threads share it."""

    variables: Mapping[str, str]
    give_up: threading.Event = field(default_factory=threading.Event)
    spans: dict[str, Span] = field(default_factory=dict)
    told: dict[str, dict[int, Told]] = field(default_factory=dict)
    repeats: int = 0

    def client(self) -> httpx.Client:
        """Return an HTTP client of database demo, good for both families."""
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

    def make(self, http: httpx.Client, request: Request) -> httpx.Response:
        """Send a request until it is answered, and note when and what.

        Raises:
            GaveUpError: it never was.
            RuntimeError: it was refused as a whole.

        """
        headers = {"Idempotency-Key": request.name, "Prefer": request.prefer, "Content-Type": "application/json"}
        content = request.body()
        sent = self.spans.get(request.name, Span(time.monotonic())).sent
        self.spans[request.name] = Span(sent)
        answer = self.insist(lambda: http.request(request.method, request.path, content=content, headers=headers))
        if not _tells_of_a_batch(answer):
            raise RuntimeError(f"{request.name}: HTTP {answer.status_code} {answer.text[:500]}")
        self.spans[request.name] = Span(sent, time.monotonic())
        self.told[request.name] = ends_told(answer, len(request.items))
        return answer

    def insist(self, ask: Callable[[], httpx.Response]) -> httpx.Response:
        """Ask until there is an answer that says more than *later*.

        Raises:
            GaveUpError: there never was.

        """
        while not self.give_up.is_set():
            try:
                answer = ask()
            except httpx.TransportError:
                pass
            else:
                if _tells_of_a_batch(answer) or answer.status_code not in _BUSY + tuple(range(_SERVERS_FAULT, 600)):
                    return answer
            self.repeats += 1
            self.give_up.wait(_AGAIN)
        raise GaveUpError

    def ended(self, http: httpx.Client, href: str) -> dict[str, Any]:
        """Return the batch at its end.

        Raises:
            GaveUpError: it did not end before the run did.

        """
        while True:
            batch: dict[str, Any] = self.insist(lambda: http.get(href, headers={"Prefer": "wait=5"})).json()
            if batch["state"] in ("finished", "cancelled"):
                return batch


def _tells_of_a_batch(answer: httpx.Response) -> bool:
    if answer.status_code == httpx.codes.NO_CONTENT:
        return True
    if not answer.headers.get("content-type", "").startswith("application/json"):
        return False
    told = answer.json()
    return isinstance(told, dict) and bool(told.get("batch"))
