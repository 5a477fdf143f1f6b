"""Ports on the loopback interface."""

import random
import socket
from collections.abc import Collection, Mapping

HOST = "127.0.0.1"
PREFERRED_API_PORT = 8000
# Below the range from which systems take ports for outgoing connections (Linux 32768, macOS and
# IANA 49152), so that no passing connection holds one of ours while a part restarts.
_RANGE = range(20_000, 32_768)


def is_free(port: int) -> bool:
    """Tell whether a server could listen on ``port`` of 127.0.0.1 now."""
    with socket.socket() as probe:
        # As servers do: a connection that lingers in TIME_WAIT takes no port away.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen()
        except OSError:
            return False
    return True


def free_port(taken: Collection[int] = ()) -> int:
    """Return a free port that is none of ``taken``."""
    return next(port for port in random.sample(_RANGE, len(_RANGE)) if port not in taken and is_free(port))


def assign(names: Collection[str], kept: Mapping[str, int]) -> dict[str, int]:
    """Return a free port for each name: the kept one as long as it is free."""
    ports = {name: kept[name] for name in names if name in kept and is_free(kept[name])}
    for name in names:
        if name not in ports:
            ports[name] = free_port(ports.values())
    return ports


def api_port(taken: Collection[int]) -> int:
    """Return the port for the API when none was asked for: 8000 if it is free, else any."""
    return PREFERRED_API_PORT if is_free(PREFERRED_API_PORT) else free_port(taken)
