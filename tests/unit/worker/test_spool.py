import hashlib
import os
import subprocess
import sys

import pytest

from worker.blobs.spool import Spool, Spooled

# A limit on the size of files makes the kernel write short, as a disk that fills does: first a part, then an error.
FULL_DISK = """
import hashlib, resource
from worker.blobs.spool import Spool
from worker.errors import SpoolFullError

spool, sha256 = Spool(), lambda data: hashlib.sha256(data).digest()
first = spool.add(b"a" * 1000, sha256(b"a" * 1000))
resource.setrlimit(resource.RLIMIT_FSIZE, (1500, resource.RLIM_INFINITY))
try:
    spool.add(b"b" * 1000, sha256(b"b" * 1000))
    print("a half was taken for a whole")
except SpoolFullError as error:
    print("refused")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
last = spool.add(b"c" * 1000, sha256(b"c" * 1000))
print(first.read() == b"a" * 1000, last.read() == b"c" * 1000)
"""


def test_a_content_is_spooled_whole_or_refused_and_those_after_it_are_where_they_are_looked_for() -> None:
    done = subprocess.run([sys.executable, "-c", FULL_DISK], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n") == ["refused", "True True", ""]


def test_other_bytes_than_were_spooled_are_never_passed_on() -> None:
    spool = Spool()
    spooled = spool.add(b"whole", hashlib.sha256(b"whole").digest())
    assert spooled.read() == b"whole"
    for wrong in (Spooled(spool, 0, 6, spooled.sha256), Spooled(spool, 0, 5, hashlib.sha256(b"other").digest())):
        with pytest.raises(RuntimeError, match="spool"):
            wrong.read()


def test_a_closed_spool_holds_no_file_open() -> None:
    spool = Spool()
    descriptor = spool._file.fileno()
    spool.close()
    spool.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
