"""Ctrl-C while a command waits for the server."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_INTERRUPT_EXIT_CODE = 128 + signal.SIGINT  # as a shell says it


@contextmanager
def ended_by_interrupt(message: str) -> Iterator[None]:
    """End the process at once if it is interrupted while the block runs, after ``message`` on standard error.

    Whoever waits for it sees that SIGINT ended it, so that a loop of a shell ends, too.
    """
    # A KeyboardInterrupt comes between any two steps, also of a library that just took a lock or where exceptions are
    # dropped: 2 of 250 imports hung at the lock of their connections for good. Nothing here needs an orderly end.
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:  # a script's background job: it ignores it
        yield
        return

    def end(*_: object) -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a second one ends it even if nobody takes what is written
        with suppress(Exception):  # there is no standard error, or its reader got the same signal
            os.write(sys.stderr.fileno(), f"\n{message}\n".encode())  # unbuffered: a write may be under way
        signal.raise_signal(signal.SIGINT)
        os._exit(_INTERRUPT_EXIT_CODE)  # the first process of a container outlives the signal

    before = signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
