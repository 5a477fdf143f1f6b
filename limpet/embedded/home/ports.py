"""Finds and reserves ports on the loopback interface."""

import random
import socket
from collections.abc import Collection, Mapping
from contextlib import ExitStack

HOST = "127.0.0.1"
# Below the range from which systems take ports for outgoing connections (Linux 32768, macOS and
# IANA 49152): no outgoing connection can take one of ours while a part restarts.
_PORT_RANGE = range(20_000, 32_768)


def is_free(port: int) -> bool:
    """Return whether a server could listen on ``port`` of 127.0.0.1 now."""
    with socket.socket() as probe:
        # As servers do: a connection in TIME_WAIT does not block the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen()
        except OSError:
            return False
    return True


class Reservations(ExitStack):
    """Reserves ports against other stacks while the block runs.

    A server listens some seconds after its port was chosen. Until then the stack holds the UDP port of
    the same number, which no server here uses, so two starting stacks don't choose the same port.
    """

    def take(self, port: int) -> bool:
        """Reserve the port; return whether it was free."""
        with ExitStack() as undo:
            marker = undo.enter_context(socket.socket(type=socket.SOCK_DGRAM))
            try:
                marker.bind((HOST, port))
            except OSError:
                return False
            if not is_free(port):
                return False
            self.push(undo.pop_all())
        return True

    def take_any(self) -> int:
        """Reserve a free port and return it."""
        return next(port for port in random.sample(_PORT_RANGE, len(_PORT_RANGE)) if self.take(port))

    def assign(self, names: Collection[str], kept: Mapping[str, int]) -> dict[str, int]:
        """Reserve a port for each name: the one in ``kept`` if it is free."""
        ports = {name: kept[name] for name in names if name in kept and self.take(kept[name])}
        return {name: ports.get(name) or self.take_any() for name in names}
