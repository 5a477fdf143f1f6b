"""The object store: the one module that knows minio-py. Its failures become ours here."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import BinaryIO

import urllib3
from minio import Minio
from minio.commonconfig import CopySource
from minio.datatypes import Part
from minio.error import MinioException, S3Error

from worker.errors import BlobMissingError, StoreUnavailableError
from worker.settings import settings

PART = 5 * 2**20  # the smallest part S3 takes, so the least memory
_TYPE = "application/octet-stream"
_CONNECT, _READ = 2.0, 10.0  # seconds
_COPIED = 10 * 2**20  # bytes a second that a store copies at least


@cache
def _client() -> Minio:
    # minio-py's own pool has ten connections, five retries and a five-minute timeout: too patient
    # for a request, and the ledger retries anyway.
    pool = urllib3.PoolManager(
        maxsize=40, timeout=urllib3.Timeout(connect=_CONNECT, read=_READ), retries=urllib3.Retry(1, backoff_factor=0.1)
    )
    return _by(pool)


def _by(pool: urllib3.PoolManager) -> Minio:
    conf = settings()
    return Minio(
        conf.s3_endpoint,
        access_key=conf.s3_access_key,
        secret_key=conf.s3_secret_key.get_secret_value(),
        secure=conf.s3_secure,
        region=conf.s3_region,
        http_client=pool,
    )


@contextmanager
def _ours(key: str) -> Iterator[None]:
    """Translate what the SDK raises.

    Raises:
        BlobMissingError: the store says there is no such object.
        StoreUnavailableError: anything else; it may pass.

    """
    try:
        yield
    except S3Error as fault:
        if fault.code == "NoSuchKey":
            raise BlobMissingError(f"no object {key}") from fault
        raise StoreUnavailableError(f"{fault.code} for {key}") from fault
    except (MinioException, urllib3.exceptions.HTTPError, OSError, ValueError) as fault:
        raise StoreUnavailableError(f"{type(fault).__name__} for {key}: {fault}") from fault


def put(key: str, source: BinaryIO, size: int) -> None:
    """Store ``size`` bytes read from ``source`` under ``key``."""
    with _ours(key):
        # With more at once, minio-py 7.2.20 leaves its threads behind when the source raises.
        _client().put_object(settings().s3_bucket, key, source, size, content_type=_TYPE, num_parallel_uploads=1)


# An object whose size is not known yet, in parts. minio-py's public way sends one part after the other, or leaves its
# threads behind (see above).


def begin(key: str) -> str:
    """Begin an object of several parts under ``key``; return the name of this attempt at it."""
    with _ours(key):
        return _client()._create_multipart_upload(settings().s3_bucket, key, {"Content-Type": _TYPE})  # noqa: SLF001


def put_part(key: str, attempt: str, number: int, data: bytes) -> str:
    """Store the part ``number`` (from 1 on; of PART bytes, but for the last); return its tag."""
    with _ours(key):
        return _client()._upload_part(settings().s3_bucket, key, data, None, attempt, number)  # noqa: SLF001


def complete(key: str, attempt: str, tags: Sequence[str]) -> None:
    """Make an object of the parts with these tags, in this order."""
    parts = [Part(number, tag) for number, tag in enumerate(tags, 1)]
    with _ours(key):
        _client()._complete_multipart_upload(settings().s3_bucket, key, attempt, parts)  # noqa: SLF001


def abandon(key: str, attempt: str) -> None:
    """Remove the parts of an object that is not to be; none may be under way."""
    with _ours(key):
        _client()._abort_multipart_upload(settings().s3_bucket, key, attempt)  # noqa: SLF001


def read(key: str, offset: int, length: int, piece: int = 2**18) -> Iterator[bytes]:
    """Yield ``length`` bytes of ``key`` from ``offset`` on, in pieces; the store has answered when this returns."""
    if length == 0:
        return iter(())
    with _ours(key):
        answer = _client().get_object(settings().s3_bucket, key, offset=offset, length=length)

    def pieces() -> Iterator[bytes]:
        try:
            with _ours(key):
                yield from answer.stream(piece)
        finally:
            answer.close()
            answer.release_conn()

    return pieces()


def sha256_of(key: str, size: int) -> bytes:
    """Return the SHA-256 of the object under ``key``, all of whose ``size`` bytes are read.

    Raises:
        BlobMissingError: there is none.
        StoreUnavailableError: it may pass.

    """
    sha256 = hashlib.sha256()
    for piece in read(key, 0, size):
        sha256.update(piece)
    return sha256.digest()


def size_of(key: str) -> int:
    """Return how many bytes the object under ``key`` has.

    Raises:
        BlobMissingError: there is none.
        StoreUnavailableError: it may pass.

    """
    with _ours(key):
        return _client().stat_object(settings().s3_bucket, key).size or 0


def listing(prefix: str) -> Iterator[tuple[str, int]]:
    """Yield key and size of every object below ``prefix``, by key in the order of their bytes.

    Raises:
        StoreUnavailableError: it may pass; or the store does not keep that order.

    """
    before = ""
    with _ours(prefix):
        for found in _client().list_objects(settings().s3_bucket, prefix, recursive=True):
            key = found.object_name or ""
            if key <= before:
                raise StoreUnavailableError(f"the store lists {key} after {before}")
            before = key
            yield key, found.size or 0


def version_of(key: str) -> tuple[int, str]:
    """Return how many bytes the object under ``key`` has, and a tag that is another one when it was written again.

    Raises:
        BlobMissingError: there is none.
        StoreUnavailableError: it may pass.

    """
    with _ours(key):
        found = _client().stat_object(settings().s3_bucket, key)
    return found.size or 0, f"{found.etag} {found.last_modified}"


def copy(source: str, target: str, size: int) -> None:
    """Copy an object of ``size`` bytes within the store, without them coming here."""
    bucket = settings().s3_bucket
    if size <= _READ / 2 * _COPIED:
        with _ours(source):
            _client().copy_object(bucket, target, CopySource(bucket, source))
        return
    # The store says nothing until it is done: with the usual patience, what is large could never be copied.
    patience = urllib3.Timeout(connect=_CONNECT, read=_READ + size / _COPIED)
    with _ours(source), urllib3.PoolManager(timeout=patience, retries=urllib3.Retry(0)) as pool:
        _by(pool).copy_object(bucket, target, CopySource(bucket, source))


def remove(key: str) -> None:
    """Remove the object under ``key``, and what a killed writer left of it; what is not there is removed already."""
    client, bucket = _client(), settings().s3_bucket
    with _ours(key):
        client.remove_object(bucket, key)
        # minio-py has no public way to see parts that never became an object.
        for unfinished in client._list_multipart_uploads(bucket, prefix=key).uploads:  # noqa: SLF001
            client._abort_multipart_upload(bucket, key, unfinished.upload_id or "")  # noqa: SLF001


def check() -> None:
    """Raise StoreUnavailableError unless the bucket is there and ours."""
    with _ours("the bucket"):
        found = _client().bucket_exists(settings().s3_bucket)
    if not found:
        raise StoreUnavailableError(f"bucket {settings().s3_bucket!r} does not exist")


def make_bucket() -> None:
    """Make the bucket unless it is there."""
    with _ours("the bucket"):
        if not _client().bucket_exists(settings().s3_bucket):
            _client().make_bucket(settings().s3_bucket)
