"""Ctrl-C while a command waits for the server."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def ended_by_interrupt(told: str = "") -> Iterator[None]:
    """End the process at once if it is interrupted while the block runs, after ``told`` on standard error.

    Whoever waits for it sees that SIGINT ended it, so that a loop of a shell ends, too.
    """
    # A KeyboardInterrupt comes between any two steps, also of a library that just took a lock or where exceptions are
    # dropped: 2 of 250 imports hung at the lock of their connections for good. Nothing here needs an orderly end.
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:  # nohup: it is to be ignored
        yield
        return

    def end(*_: object) -> None:
        os.write(sys.stderr.fileno(), f"\n{told}\n".encode())  # not buffered: it may come in the middle of a write
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
