"""PUT to the object store with the standard library: for a small file, httpx takes three times the processor time."""

import base64
import ssl
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from select import select
from socket import socket
from typing import NamedTuple, cast
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit
from urllib.request import getproxies, proxy_bypass

from limpet.http.client import LOOPBACK, NoAnswerError

_CONNECT_TIMEOUT_SECONDS = 5
_READ_TIMEOUT_SECONDS = 120  # the store may be slow to acknowledge what is large


class PutAnswer(NamedTuple):
    """The store's answer to one PUT."""

    status: int
    text: str


class ObjectPuts:
    """Keeps connections to the store, as many as threads put at the same time. Thread-safe."""

    def __init__(self) -> None:
        self._idle: dict[tuple[str, str], deque[_Connection]] = defaultdict(deque)

    def put(self, url: str, headers: Mapping[str, str], body: Iterable[bytes]) -> PutAnswer:
        """Send ``body``; ``headers`` have its length. Exceptions of the iterator pass through.

        Raises:
            NoAnswerError: no answer came; a retry may succeed.

        """
        address = urlsplit(url)
        idle = self._idle[address.scheme, address.netloc]
        connection = _take_idle(idle) or _make_connection(address)
        try:
            answer = connection.put(url, headers, body)
        except (OSError, HTTPException) as fault:
            connection.http.close()
            raise NoAnswerError(f"{fault or type(fault).__name__}") from fault
        except BaseException:
            connection.http.close()
            raise
        idle.append(connection)
        return answer

    def close(self) -> None:
        """Close the connections."""
        for idle in self._idle.values():
            for connection in idle:
                connection.http.close()


@dataclass(frozen=True, slots=True)
class _Connection:
    """``added``: headers of each request. ``absolute``: a proxy without a tunnel, which needs the absolute URL."""

    http: HTTPConnection
    added: Mapping[str, str]
    absolute: bool

    def put(self, url: str, headers: Mapping[str, str], body: Iterable[bytes]) -> PutAnswer:
        if not isinstance(self.http.sock, socket):
            self.http.connect()
            cast("socket", self.http.sock).settimeout(_READ_TIMEOUT_SECONDS)
        target = url if self.absolute else urlunsplit(urlsplit(url)._replace(scheme="", netloc=""))
        with suppress(BrokenPipeError, ConnectionResetError):  # a store may refuse without reading the body
            self.http.request("PUT", target, body, {**headers, **self.added})
        answer = self.http.getresponse()
        return PutAnswer(answer.status, answer.read().decode(errors="replace"))


def _take_idle(idle: deque[_Connection]) -> _Connection | None:
    """Take a connection out of ``idle`` that the store has not closed."""
    with suppress(IndexError):  # no connection is left
        while True:
            connection = idle.pop()
            if connection.http.sock is None or not select([connection.http.sock], [], [], 0)[0]:
                return connection
            connection.http.close()
    return None


def _make_connection(address: SplitResult) -> _Connection:
    """Return an unopened connection, through the environment's proxy if one applies to this host."""
    host = address.hostname or ""
    proxy = None if host in LOOPBACK or proxy_bypass(host) else getproxies().get(address.scheme)
    to = urlsplit(proxy if "//" in proxy else f"//{proxy}") if proxy else address
    name = f"{unquote(to.username)}:{unquote(to.password or '')}" if proxy and to.username else ""
    credentials = {"Proxy-Authorization": f"Basic {base64.b64encode(name.encode()).decode()}"} if name else {}
    if address.scheme != "https":
        plain = HTTPConnection(to.hostname or "", to.port, timeout=_CONNECT_TIMEOUT_SECONDS)
        return _Connection(plain, credentials, bool(proxy))
    context = ssl.create_default_context()
    connection = HTTPSConnection(to.hostname or "", to.port, timeout=_CONNECT_TIMEOUT_SECONDS, context=context)
    if proxy:
        connection.set_tunnel(host, address.port, credentials)
    return _Connection(connection, {}, absolute=False)
