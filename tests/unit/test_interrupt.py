"""Ctrl-C ends a command wherever it comes."""

import signal
import subprocess
import sys

IN_A_FINALIZER = """
import signal, weakref
from limpet.importing.interrupt import ended_by_interrupt
class Thing: pass
{before}
with ended_by_interrupt("how it goes on"):
    thing = Thing()
    weakref.finalize(thing, signal.raise_signal, signal.SIGINT)  # what a finalizer raises is dropped
    del thing
print("passed by")
"""


def ran(before: str) -> subprocess.CompletedProcess[str]:
    program = IN_A_FINALIZER.format(before=before)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)


def test_an_interrupt_is_heard_where_exceptions_are_dropped() -> None:
    done = ran("signal.signal(signal.SIGINT, signal.default_int_handler)")
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "\nhow it goes on\n")


def test_who_ignores_interrupts_goes_on_ignoring_them() -> None:
    done = ran("signal.signal(signal.SIGINT, signal.SIG_IGN)")
    assert (done.returncode, done.stdout, done.stderr) == (0, "passed by\n", "")
