"""Write one object to the store while its content is still arriving."""

import io
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

from worker.blobs import s3
from worker.errors import StoreUnavailableError

# Parts on their way while the next one fills, so memory for three of 5 MiB. With one, the store and its client waited
# for each other in turns.
_MAX_PARTS_IN_FLIGHT = 2


class MultipartUpload:
    """One object on its way to the store, for one writer at a time; end it with ``finish`` or ``abort``."""

    def __init__(self, key: str) -> None:
        self.key = key
        self._part = io.BytesIO()
        self._attempt = ""
        self._sent: list[Future[str]] = []
        self._pool = ThreadPoolExecutor(_MAX_PARTS_IN_FLIGHT, thread_name_prefix=f"upload {key}")
        self._ended = False

    def write(self, data: bytes) -> None:
        """Append bytes; wait while the store is slower.

        Raises:
            StoreUnavailableError: the store refused or went away.

        """
        rest = memoryview(data)
        while rest:
            # All parts but the last have one size, as some stores demand.
            room = s3.PART - self._part.tell()
            self._part.write(rest[:room])
            rest = rest[room:]
            if self._part.tell() == s3.PART:
                self._send()

    def finish(self) -> None:
        """Wait until the whole object is in the store.

        Raises:
            StoreUnavailableError: it is not there.

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
        """Give up, and wait until no part is on its way; after the end, do nothing."""
        if self._ended:
            return
        self._end()
        if self._attempt:
            with suppress(StoreUnavailableError):  # then the collector removes the parts, as after a kill
                s3.abandon(self.key, self._attempt)

    def _send(self) -> None:
        if len(self._sent) >= _MAX_PARTS_IN_FLIGHT:
            self._sent[-_MAX_PARTS_IN_FLIGHT].result()
        self._attempt = self._attempt or s3.begin(self.key)
        part, self._part = self._part.getvalue(), io.BytesIO()
        number = len(self._sent) + 1
        self._sent.append(self._pool.submit(s3.put_part, self.key, self._attempt, number, part))

    def _end(self) -> None:
        self._ended = True
        self._part = io.BytesIO()
        self._pool.shutdown(cancel_futures=True)
