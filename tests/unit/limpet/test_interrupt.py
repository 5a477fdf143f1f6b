"""Ctrl-C ends a command wherever it comes."""

import os
import signal
import subprocess
import sys

IN_A_FINALIZER = """
import signal, weakref
from limpet.terminal.interrupt import ended_by_interrupt
class Thing: pass
{before}
with ended_by_interrupt("how it goes on"):
    thing = Thing()
    weakref.finalize(thing, signal.raise_signal, signal.SIGINT)  # what a finalizer raises is dropped
    del thing
print("passed by")
"""


HEARD = "signal.signal(signal.SIGINT, signal.default_int_handler)"


def ran(before: str, stderr: int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-c", IN_A_FINALIZER.format(before=before)]
    return subprocess.run(program, stdout=subprocess.PIPE, stderr=stderr, text=True, timeout=30, check=False)


def test_an_interrupt_is_heard_where_exceptions_are_dropped() -> None:
    done = ran(HEARD)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "\nhow it goes on\n")


def test_a_process_that_ignores_interrupts_goes_on_ignoring_them() -> None:
    done = ran("signal.signal(signal.SIGINT, signal.SIG_IGN)")
    assert (done.returncode, done.stdout, done.stderr) == (0, "passed by\n", "")


def test_it_ends_though_the_reader_of_its_output_has_ended_before() -> None:
    """As ``tee`` does, which gets the same signal."""
    nobody, there = os.pipe()
    os.close(nobody)
    done = ran(HEARD, stderr=there)
    os.close(there)
    assert (done.returncode, done.stdout) == (-signal.SIGINT, "")


def test_it_ends_without_a_standard_error() -> None:
    done = ran(f"import sys; sys.stderr = None; {HEARD}")
    assert (done.returncode, done.stdout) == (-signal.SIGINT, "")
