"""The object store, at its own pace."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from uuid import uuid4

import pytest
from support.connections import HOST, Line, line

from worker.blobs import s3
from worker.settings import settings


@pytest.fixture
def held(server_environment: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:  # noqa: ARG001  comes first
    """A line to the store."""
    with line(int(settings().s3_endpoint.rpartition(":")[2])) as passing:
        monkeypatch.setenv("LIMPET_S3_ENDPOINT", f"{HOST}:{passing.port}")
        settings.cache_clear()
        s3._client.cache_clear()
        yield passing
    monkeypatch.undo()
    settings.cache_clear()
    s3._client.cache_clear()


def test_a_copy_may_take_as_long_as_its_size_needs(held: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    size, source, target = 20 * 2**20, *(f"demo/copying/{uuid4().hex}" for _ in range(2))
    s3.put(source, BytesIO(bytes(size)), size)
    monkeypatch.setattr(s3, "_CONNECT", 0.5)
    monkeypatch.setattr(s3, "_READ", 0.3)  # a store that says nothing for so long is away, else
    monkeypatch.setattr(s3, "_COPIED", 2**20)
    held.hold()
    with ThreadPoolExecutor(1) as pool:
        copying = pool.submit(s3.copy, source, target, size)
        with pytest.raises(TimeoutError):
            copying.result(timeout=1)
        held.release()
        copying.result(timeout=20)
    assert s3.size_of(target) == size
