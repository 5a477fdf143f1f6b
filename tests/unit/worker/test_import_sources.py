"""Files that the servers read themselves."""

import hashlib
import io

from worker.imports.sources import HashingReader


def test_what_went_to_the_store_is_hashed_and_not_what_the_file_holds_before_or_after() -> None:
    stream = io.BytesIO(b"first as looked at")
    sent = HashingReader(stream)
    assert sent.read(6) == b"first "
    stream.getbuffer()[6:] = b"another ones"
    assert sent.read() == b"another ones"
    stream.getbuffer()[6:] = b"as looked at"
    assert sent.sha256.digest() == hashlib.sha256(b"first another ones").digest()
