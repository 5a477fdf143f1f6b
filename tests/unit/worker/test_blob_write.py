"""Storing many contents at once, when the store does not take them."""

import socket
from collections.abc import Iterator

import pytest

from worker.blobs import s3, write
from worker.blobs.lifecycle import StoredContent
from worker.blobs.write import PendingContent
from worker.errors import StoreUnavailableError
from worker.settings import settings


@pytest.fixture
def _no_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A store at whose address nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("LIMPET_S3_ENDPOINT", f"127.0.0.1:{taken.getsockname()[1]}")
        settings.cache_clear()
        s3._client.cache_clear()
        yield
    settings.cache_clear()
    s3._client.cache_clear()


@pytest.mark.usefixtures("_no_store")
def test_more_contents_than_writers_fail_at_once_when_the_store_refuses() -> None:
    contents = [PendingContent.of(b"%d" % number) for number in range(5 * write._MAX_WRITERS)]
    pulses: list[int] = []

    def pulse() -> None:
        pulses.append(1)
        assert len(pulses) < 4, "it shows that it is alive, and does nothing"

    with pytest.raises(StoreUnavailableError):
        write._put_all(
            [(StoredContent(f"demo/{number}", c.sha256, len(c.data)), c) for number, c in enumerate(contents)],
            pulse,
        )
