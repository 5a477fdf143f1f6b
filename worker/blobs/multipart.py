"""Write one object to the store while its content is still arriving."""

import io
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

from worker.blobs import s3
from worker.errors import StoreUnavailableError

# Parts under way while the next one fills, so memory for three of 5 MiB. With one, the store and its client waited for
# each other in turns.
_AT_ONCE = 2


class MultipartUpload:
    """One object on its way to the store; for one writer at a time. It ends with ``finish`` or ``abort``."""

    def __init__(self, key: str) -> None:
        self.key = key
        self._part = io.BytesIO()
        self._attempt = ""
        self._sent: list[Future[str]] = []
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix=f"upload {key}")
        self._over = False

    def write(self, data: bytes) -> None:
        """Take the next bytes; wait while the store is slower.

        Raises:
            StoreUnavailableError: the store refused or went away.

        """
        left = memoryview(data)
        while left:
            # Parts of one size: some stores want that of all but the last.
            room = s3.PART - self._part.tell()
            self._part.write(left[:room])
            left = left[room:]
            if self._part.tell() == s3.PART:
                self._send()

    def finish(self) -> None:
        """Wait until the object is there, whole.

        Raises:
            StoreUnavailableError: it is not.

        """
        if self._sent:
            if self._part.tell():
                self._send()
            s3.complete(self.key, self._attempt, [part.result() for part in self._sent])
        else:
            size = self._part.tell()
            self._part.seek(0)
            s3.put(self.key, self._part, size)
        self._end()

    def abort(self) -> None:
        """Give up, and wait until nothing is under way; after the end it does nothing."""
        if self._over:
            return
        self._end()
        if self._attempt:
            with suppress(StoreUnavailableError):  # the collector removes the parts then, as after a kill
                s3.abandon(self.key, self._attempt)

    def _send(self) -> None:
        if len(self._sent) >= _AT_ONCE:
            self._sent[-_AT_ONCE].result()
        self._attempt = self._attempt or s3.begin(self.key)
        part, self._part = self._part.getvalue(), io.BytesIO()
        number = len(self._sent) + 1
        self._sent.append(self._pool.submit(s3.put_part, self.key, self._attempt, number, part))

    def _end(self) -> None:
        self._over = True
        self._part = io.BytesIO()
        self._pool.shutdown(cancel_futures=True)
