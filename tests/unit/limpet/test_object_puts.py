"""PUTs to the object store: connections are kept, refusals are heard, proxies heeded."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from limpet.http.client import NoAnswerError
from limpet.http.object_puts import ObjectPuts

BODY = b"x" * 1000


class Store(ThreadingHTTPServer):
    """Notes what it is asked; what is put under ``/refused`` it refuses unread."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[tuple[str, str | None, int]] = []
        self.connections: set[object] = set()
        self.closed = threading.Event()

    def shutdown_request(self, request: object) -> None:
        super().shutdown_request(request)  # type: ignore[arg-type]
        self.closed.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Store
    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        refused = self.path == "/refused"
        body = b"" if refused else self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((self.path, self.headers["Proxy-Authorization"], len(body)))
        self.server.connections.add(self.client_address)
        self.close_connection = refused
        self.send_response(403 if refused else 200)
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"said")


@pytest.fixture
def store() -> Iterator[Store]:
    with Store() as server:
        threading.Thread(target=server.serve_forever).start()
        yield server
        server.shutdown()


@pytest.fixture
def puts() -> Iterator[ObjectPuts]:
    made = ObjectPuts()
    yield made
    made.close()


def put(puts: ObjectPuts, url: str, body: bytes = BODY) -> tuple[int, str]:
    return puts.put(url, {"Content-Length": str(len(body))}, iter([body]))


def test_a_connection_is_kept_for_the_next_put(store: Store, puts: ObjectPuts) -> None:
    assert [put(puts, f"{store.url}/a?b=c") for _ in range(3)] == [(200, "said")] * 3
    assert (store.asked, len(store.connections)) == ([("/a?b=c", None, 1000)] * 3, 1)


def test_a_body_that_can_not_be_read_on_leaves_no_half_request_behind(store: Store, puts: ObjectPuts) -> None:
    def broken() -> Iterator[bytes]:
        yield b"half"
        raise LookupError

    with pytest.raises(LookupError):
        puts.put(f"{store.url}/a", {"Content-Length": "8"}, broken())
    assert put(puts, f"{store.url}/a") == (200, "said")


def test_a_store_that_is_away_is_a_transient_error(store: Store, puts: ObjectPuts) -> None:
    assert put(puts, f"{store.url}/refused")[0] == 403
    assert store.closed.wait(30)
    assert put(puts, f"{store.url}/a")[0] == 200, "after a connection that the store closed, there is a new one"
    with pytest.raises(NoAnswerError):
        put(puts, "http://127.0.0.1:1/a")


def test_a_proxy_of_the_environment_is_heeded(store: Store, puts: ObjectPuts, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", store.url.replace("//", "//me:p%40ss@"))
    assert put(puts, "http://store.test/a?b=c")[0] == 200
    assert store.asked == [("http://store.test/a?b=c", "Basic bWU6cEBzcw==", 1000)]
