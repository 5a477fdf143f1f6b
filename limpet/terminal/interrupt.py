"""End a command on Ctrl-C while it waits for the server."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_INTERRUPT_EXIT_CODE = 128 + signal.SIGINT  # the convention of shells


@contextmanager
def ended_by_interrupt(message: str) -> Iterator[None]:
    """On SIGINT during the block, write ``message`` to standard error and end the process at once.

    The process ends by SIGINT, not by an exit code, so a loop of a shell ends as well.
    """
    # A KeyboardInterrupt can strike inside a library that holds a lock or drops exceptions: 2 of 250 imports hung
    # forever at the lock of their connections. Nothing here needs an orderly end.
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:  # a script's background job ignores SIGINT
        yield
        return

    def end(*_: object) -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a second SIGINT ends it even if the write blocks
        with suppress(Exception):  # no standard error, or its reader got SIGINT too
            os.write(sys.stderr.fileno(), f"\n{message}\n".encode())  # unbuffered: a write may be under way
        signal.raise_signal(signal.SIGINT)
        os._exit(_INTERRUPT_EXIT_CODE)  # the first process of a container outlives the signal

    before = signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
