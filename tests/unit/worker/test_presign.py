"""URLs that are bound to one content."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from worker.blobs import s3
from worker.blobs.presign import put_url
from worker.settings import settings


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("LIMPET_S3_ACCESS_KEY", "key")
    monkeypatch.setenv("LIMPET_S3_SECRET_KEY", "secret")
    yield
    monkeypatch.undo()
    settings.cache_clear()
    s3._client.cache_clear()


@pytest.mark.parametrize(
    ("endpoint", "secure"),
    [("s3.example.com:443", "true"), ("s3.example.com:80", ""), ("s3.example.com", "true"), ("127.0.0.1:9000", "")],
)
def test_the_host_that_is_signed_is_the_one_that_clients_send(
    monkeypatch: pytest.MonkeyPatch, endpoint: str, secure: str
) -> None:
    """Which is without the port that the scheme means anyway; minio-py knows that."""
    monkeypatch.setenv("LIMPET_S3_PUBLIC_ENDPOINT", endpoint)
    monkeypatch.setenv("LIMPET_S3_SECURE", secure or "false")
    settings.cache_clear()
    s3._client.cache_clear()
    ours, _ = put_url("demo/blobs/1", bytes(32), timedelta(minutes=5))
    assert ours.partition("?")[0] == s3.presigned_put("demo/blobs/1", timedelta(minutes=5)).partition("?")[0]
