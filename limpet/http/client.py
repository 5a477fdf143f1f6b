"""The HTTP client of the user commands. It depends on the contracts only, not on the servers' code."""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self, TypeVar
from uuid import UUID

import click
import httpx
from pydantic import BaseModel, TypeAdapter, ValidationError

from schemas.answers import Batch, BatchBrief, Envelope, ItemStatus
from schemas.case_attachment import CaseAttachment, CaseAttachmentRecord

_SETUP_ADVICE = "'limpet up' writes all of them to client.env: set -a; source .limpet/client.env; set +a"
# The API holds an answer for 25 s by default and 60 s at most.
_TIMEOUT = httpx.Timeout(90, connect=5)
# A proxy of the environment can't reach this machine's loopback.
LOOPBACK = ("127.0.0.1", "localhost")
_LOOPBACK_MOUNTS = {f"all://{host}": None for host in LOOPBACK}
_FIRST_SERVER_ERROR = 500
_TRANSIENT_STATUSES = (408, 429)  # Request Timeout, Too Many Requests
M = TypeVar("M", bound=BaseModel)
_items = TypeAdapter(list[CaseAttachment])


class ClientError(click.ClickException):
    """A variable is missing, or the server does not answer or refuses; the text says what to do."""


class NoAnswerError(ClientError):
    """The server does not answer or is busy; the same request may succeed later."""


class HeldBackError(NoAnswerError):
    """The server works, and takes no more of this import for now."""


class RequestRefusedError(ClientError):
    """The server refuses the request; ``reason`` is its header ``Limpet-Reason``."""

    exit_code = 4

    def __init__(self, message: str, status: int, reason: str = "") -> None:
        super().__init__(message)
        self.status, self.reason = status, reason


class Report(Envelope):
    """The 207 answer of a batch; its item statuses are in the order of the request."""

    data: list[ItemStatus]
    batch: BatchBrief


class _Record(Envelope):
    """The answer with one record."""

    data: CaseAttachmentRecord


@dataclass(frozen=True, slots=True)
class BatchAnswer:
    """The answer to a batch; ``outcome`` is its header ``Batch-Outcome``."""

    status: int
    outcome: str
    report: Report


@dataclass(frozen=True, slots=True)
class Digest:
    """The size in bytes and the SHA-256 in hex of a content that was read."""

    size: int
    sha256: str


class Client:
    """A caller of one database; the block keeps its connections. No request is retried.

    Every method raises ClientError if the server refuses the request or does not answer.
    """

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    @classmethod
    def from_environment(cls, variables: Mapping[str, str]) -> Self:
        """Return a client of LIMPET_URL and LIMPET_DATABASE with LIMPET_API_KEY, LIMPET_TOKEN or both.

        Raises:
            ClientError: a variable is missing.

        """
        for name in ("LIMPET_URL", "LIMPET_DATABASE"):
            if not variables.get(name):
                raise ClientError(f"{name} is not set. {_SETUP_ADVICE}")
        key, token = variables.get("LIMPET_API_KEY"), variables.get("LIMPET_TOKEN")
        if not (key or token):
            raise ClientError(f"Neither LIMPET_API_KEY nor LIMPET_TOKEN is set. {_SETUP_ADVICE}")
        headers = {
            "vbasoftware-database": variables["LIMPET_DATABASE"],
            **({"x-api-key": key} if key else {}),
            **({"Authorization": f"Bearer {token}"} if token else {}),
        }
        with _translate_errors(variables["LIMPET_URL"]):
            return cls(
                httpx.Client(
                    base_url=variables["LIMPET_URL"], headers=headers, timeout=_TIMEOUT, mounts=_LOOPBACK_MOUNTS
                )
            )

    def __enter__(self) -> Self:
        """Return the client itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close its connections."""
        self._http.close()

    def put_batch(self, items: Sequence[CaseAttachment]) -> BatchAnswer:
        """Create or update ``items`` as one batch; send only fields that are set."""
        body = _items.dump_json(list(items), by_alias=True, exclude_unset=True)
        with self.opened("PUT", "/case-attachments-batch", body) as response:
            report = Report.model_validate_json(response.read())
            return BatchAnswer(response.status_code, response.headers.get("Batch-Outcome", ""), report)

    def record(self, key: int) -> CaseAttachmentRecord:
        """Return one record with its content in base64."""
        return self.ask(_Record, "GET", f"/case-attachments/{key}").data

    def content(self, key: int) -> Digest:
        """Read the content of one record as a stream; return its size and hash."""
        digest, size = hashlib.sha256(), 0
        with self.opened("GET", f"/case-attachments/{key}/content") as response:
            for piece in response.iter_bytes():
                digest.update(piece)
                size += len(piece)
        return Digest(size, digest.hexdigest())

    def batch(self, batch_id: UUID) -> Batch:
        """Return how a batch stands."""
        return self.ask(Batch, "GET", f"/batches/{batch_id}")

    def ask(
        self,
        model: type[M],
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> M:
        """Send one request; return its answer as a ``model``."""
        with self.opened(method, path, body, headers) as response:
            return model.model_validate_json(response.read())

    @contextmanager
    def opened(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Iterator[httpx.Response]:
        """Send one request and yield its successful answer; the caller reads the body.

        Raises:
            NoAnswerError: no answer came, or the server is busy.
            RequestRefusedError: the server refuses the request.

        """
        sent = ({"Content-Type": "application/json"} if body is not None else {}) | dict(headers or {})
        where = f"{method} {str(self._http.base_url).rstrip('/')}{path}"
        with _translate_errors(where), self._http.stream(method, path, content=body, headers=sent) as response:
            if response.is_error:
                text = _reason(where, response.status_code, response.read())
                reason = response.headers.get("Limpet-Reason", "")
                if response.status_code >= _FIRST_SERVER_ERROR or response.status_code in _TRANSIENT_STATUSES:
                    raise HeldBackError(text) if reason == "HeldBack" else NoAnswerError(text)
                raise RequestRefusedError(text, response.status_code, reason)
            yield response


@contextmanager
def _translate_errors(where: str) -> Iterator[None]:
    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL) as fault:
        raise NoAnswerError(f"{where}: no answer ({fault or type(fault).__name__}). Is the server up?") from fault
    except ValidationError as fault:
        raise ClientError(f"{where}: this is no answer of Limpet's. Is LIMPET_URL right?") from fault


def _reason(where: str, status: int, body: bytes) -> str:
    """Return the envelope's error in one sentence; for a body without an envelope, the status only."""
    try:
        answer = Envelope.model_validate_json(body)
    except ValidationError:
        return f"{where}: HTTP {status}"
    problem = f"{answer.error.title}: {answer.error.detail}" if answer.error else "no reason given"
    return f"{where}: HTTP {status}, {problem} (activity {answer.debug.activity_id})"


def client_of(database: str | None = None) -> Client:
    """Return the client of the environment; ``database`` overrides LIMPET_DATABASE."""
    return Client.from_environment({**os.environ, **({"LIMPET_DATABASE": database} if database else {})})
