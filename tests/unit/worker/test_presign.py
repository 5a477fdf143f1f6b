"""Presigned URLs: those that any content may be sent to are minio-py's own."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from minio import Minio

from worker.blobs.presign import put_url
from worker.settings import settings


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("LIMPET_S3_ACCESS_KEY", "key")
    monkeypatch.setenv("LIMPET_S3_SECRET_KEY", "secret")
    yield
    monkeypatch.undo()
    settings.cache_clear()


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
    ours, headers = put_url("demo/blobs/1", timedelta(minutes=5))
    began = datetime.strptime(parse_qs(urlsplit(ours).query)["X-Amz-Date"][0] + "+0000", "%Y%m%dT%H%M%SZ%z")
    client = Minio(endpoint, access_key="key", secret_key="secret", secure=bool(secure), region=settings().s3_region)
    theirs = client.get_presigned_url(
        "PUT", settings().s3_bucket, "demo/blobs/1", timedelta(minutes=5), request_date=began
    )
    assert (parse_qs(ours), headers) == (parse_qs(theirs), {})
