"""Connections to a server that stop without a word, and an address at which no server listens."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

HOST = "127.0.0.1"


class Line:
    """Passes on what comes to ``port``, both ways, while it is not held."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._open = threading.Event()
        self._open.set()
        self._listening = socket.create_server((HOST, 0))
        self._sockets = [self._listening]
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def hold(self) -> None:
        """Pass on nothing more; connections stay."""
        self._open.clear()

    def release(self) -> None:
        """Pass on again, what came meanwhile first."""
        self._open.set()

    def close(self) -> None:
        self._open.set()
        for end in self._sockets:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _serve(self) -> None:
        with suppress(OSError):  # closed
            while True:
                caller, _ = self._listening.accept()
                server = socket.create_connection((HOST, self._server_port))
                self._sockets += [caller, server]
                for ends in ((caller, server), (server, caller)):
                    threading.Thread(target=self._pass_on, args=ends, daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):  # closed
            while data := source.recv(65536):
                self._open.wait()
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


@contextmanager
def line(server_port: int) -> Iterator[Line]:
    passing = Line(server_port)
    try:
        yield passing
    finally:
        passing.close()


def nowhere() -> str:
    """An address at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        return f"127.0.0.1:{held.getsockname()[1]}"
