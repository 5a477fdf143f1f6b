"""Probes: each carries out a real operation, and raises :class:`NotServingError` until that succeeds."""

import io
import secrets
import socket
import urllib.error
import urllib.request
from collections.abc import Callable

import celery
import kombu
import minio
import psycopg
import redis
import urllib3

from limpet.embedded.endpoints import Bucket
from limpet.embedded.errors import NotServingError

Probe = Callable[[], None]
_ANSWER_SECONDS = 2.0


def database(url: str) -> Probe:
    """Sign in to PostgreSQL and select; ``url`` may have SQLAlchemy's form."""
    conninfo = url.replace("postgresql+psycopg://", "postgresql://", 1)

    def probe() -> None:
        try:
            with psycopg.connect(conninfo, connect_timeout=int(_ANSWER_SECONDS)) as connection:
                connection.execute("SELECT 1")
        except psycopg.Error as error:
            raise NotServingError(str(error)) from error

    return probe


def broker(url: str) -> Probe:
    """Sign in to the broker: PING Redis, or open a connection to another kind."""
    return _redis(url) if url.startswith(("redis://", "rediss://")) else _any_broker(url)


def _redis(url: str) -> Probe:
    def probe() -> None:
        try:
            with redis.Redis.from_url(
                url, socket_timeout=_ANSWER_SECONDS, socket_connect_timeout=_ANSWER_SECONDS
            ) as client:
                client.ping()
        except redis.exceptions.AuthenticationError as error:
            # A wrong password reads "HELLO must be called with the client already authenticated".
            raise NotServingError("the password is not accepted") from error
        except redis.exceptions.RedisError as error:
            raise NotServingError(str(error)) from error

    return probe


def _any_broker(url: str) -> Probe:
    def probe() -> None:
        try:
            with kombu.Connection(url, connect_timeout=_ANSWER_SECONDS) as connection:
                connection.ensure_connection(max_retries=1)
        except kombu.exceptions.KombuError as error:
            raise NotServingError(str(error)) from error

    return probe


def bucket(target: Bucket) -> Probe:
    """Create the bucket if it is missing; put a small object, get it, remove it.

    Listing is no proof: SeaweedFS lists before it can store.
    """

    def probe() -> None:
        try:
            _check_round_trip(target)
        except (minio.error.MinioException, urllib3.exceptions.HTTPError) as error:
            raise NotServingError(str(error)) from error

    return probe


def _check_round_trip(target: Bucket) -> None:
    pool = urllib3.PoolManager(timeout=_ANSWER_SECONDS, retries=False)
    client = minio.Minio(
        endpoint=target.endpoint,
        access_key=target.access_key,
        secret_key=target.secret_key,
        secure=target.secure,
        region=target.region,
        http_client=pool,
    )
    if not client.bucket_exists(bucket_name=target.name):
        client.make_bucket(bucket_name=target.name)
    key, content = f"probe/{secrets.token_hex(8)}", b"limpet up"
    client.put_object(bucket_name=target.name, object_name=key, data=io.BytesIO(content), length=len(content))
    answer = client.get_object(bucket_name=target.name, object_name=key)
    with answer:
        same = answer.read() == content
    client.remove_object(bucket_name=target.name, object_name=key)
    if not same:
        raise NotServingError("an object came back changed")


def page(url: str) -> Probe:
    """Get a page of this machine and expect 200."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # ignores http_proxy

    def probe() -> None:
        try:
            with direct.open(url, timeout=_ANSWER_SECONDS):
                return
        except OSError as error:  # URLError and HTTPError are OSErrors
            raise NotServingError(f"{url}: {error}") from error

    return probe


def worker(broker_url: str, name: str) -> Probe:
    """Ping the worker node ``name`` of this host through the broker."""
    node = f"{name}@{socket.gethostname()}"

    def probe() -> None:
        # Both URLs: CELERY_BROKER_URL in the environment would override ``broker``.
        with celery.Celery(set_as_current=False, broker_read_url=broker_url, broker_write_url=broker_url) as app:
            try:
                answers = app.control.ping(destination=[node], timeout=1.0, limit=1)
            except (kombu.exceptions.KombuError, OSError) as error:
                raise NotServingError(str(error)) from error
        if not answers:
            raise NotServingError(f"{node} does not answer a ping")

    return probe
