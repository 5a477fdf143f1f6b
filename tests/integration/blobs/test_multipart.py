"""Objects that are written while their content arrives: whole and in order, or not there at all."""

import base64
import random
import secrets
import threading
from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest

from api_stub.request.content_sink import Sinks
from api_stub.submit import submit
from worker.blobs import gc, lifecycle, s3
from worker.blobs.lifecycle import StoredContent
from worker.blobs.multipart import MultipartUpload
from worker.errors import BlobMissingError, StoreUnavailableError
from worker.ledger.model import NewBatch, NewItem
from worker.settings import settings

pytestmark = pytest.mark.usefixtures("server_environment")
PART = s3.PART


@pytest.fixture
def key() -> str:
    return f"demo/uploading/{uuid4().hex}"


def unfinished(key: str) -> int:
    """How many attempts at an object are known to the store."""
    return len(s3._client()._list_multipart_uploads(settings().s3_bucket, prefix=key).uploads)


def is_there(key: str) -> bool:
    try:
        s3.size_of(key)
    except BlobMissingError:
        return False
    return True


def threads(key: str) -> list[str]:
    return [thread.name for thread in threading.enumerate() if key in thread.name]


@pytest.mark.parametrize("size", [0, 1, PART - 1, PART, PART + 1, 2 * PART, 5 * PART + 7])
def test_an_object_is_what_was_written(key: str, size: int) -> None:
    data = random.Random(size).randbytes(size)
    upload = MultipartUpload(key)
    for start in range(0, size, 700_001):
        upload.write(data[start : start + 700_001])
    upload.finish()
    upload.abort()  # after the end it does nothing

    assert b"".join(s3.read(key, 0, s3.size_of(key))) == data
    assert (unfinished(key), threads(key)) == (0, [])


@pytest.mark.parametrize("size", [0, 1, PART, 3 * PART + 1])
def test_an_upload_that_is_given_up_leaves_nothing(key: str, size: int) -> None:
    upload = MultipartUpload(key)
    upload.write(bytes(size))
    upload.abort()
    upload.abort()

    assert (is_there(key), unfinished(key), threads(key)) == (False, 0, [])


def test_a_part_that_the_store_refuses_ends_the_upload(key: str) -> None:
    upload = MultipartUpload(key)
    upload.write(bytes(PART))
    upload._sent[0].result()
    s3.abandon(key, upload._attempt)

    upload.write(bytes(2 * PART))
    with pytest.raises(StoreUnavailableError):
        upload.write(bytes(PART))
    with pytest.raises(StoreUnavailableError):
        upload.finish()
    upload.abort()

    assert (is_there(key), unfinished(key), threads(key)) == (False, 0, [])


def test_the_parts_of_a_writer_that_was_killed_go_with_its_key(key: str) -> None:
    s3.put_part(key, s3.begin(key), 1, bytes(PART))
    assert unfinished(key) == 1

    s3.remove(key)

    assert unfinished(key) == 0


@pytest.fixture
def _due_at_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("LIMPET_COLLECT_AFTER", "0")
    settings.cache_clear()
    yield
    monkeypatch.undo()
    settings.cache_clear()


@pytest.mark.usefixtures("_due_at_once")
def test_no_content_goes_to_a_key_that_was_intended_long_ago() -> None:
    """One that is due before its object is whole would leave the object behind."""
    sinks, intended = Sinks("demo"), set()
    for _ in range(4):
        sink = sinks.open()
        sink.write(base64.b64encode(bytes(settings().inline_content + 1)))
        sink.close()
        assert sink.stored
        intended.add(sink.stored.object_key[:-6])  # what is intended together differs in these
    assert len(intended) == 4


def test_a_blob_whose_key_was_noted_for_removal_before_is_collected(key: str, demo_db: psycopg.Connection) -> None:
    """Whoever looks for objects that nothing names may come just before it is named."""
    stored = "INSERT INTO blob (sha256, size, object_key, stored_at) VALUES (%s, 1, %s, now() - interval '2 days')"
    demo_db.execute(stored, [secrets.token_bytes(32), key])
    demo_db.execute("INSERT INTO garbage VALUES (%s, now() + interval '1 hour')", [key])
    gc.collect("demo", timedelta(days=1))
    assert demo_db.execute("SELECT FROM blob WHERE object_key = %s", [key]).fetchone() is None
    assert demo_db.execute("SELECT FROM garbage WHERE object_key = %s", [key]).fetchone() == ()


def test_what_was_stored_after_its_keys_removal_is_removed_again(demo_db: psycopg.Connection) -> None:
    """A writer that slept: the API refuses the batch then, and nothing else names the object."""
    (key,) = lifecycle.intend("demo", 1)
    demo_db.execute("DELETE FROM garbage WHERE object_key = %s", [key])  # as the collector does, an hour later
    item = NewItem(
        "case_attachment.upsert", None, {"case_Key": 1}, stored=StoredContent(key, secrets.token_bytes(32), 1)
    )
    with pytest.raises(StoreUnavailableError):
        submit._accept("demo", NewBatch("case_attachments", "test", [item]))
    assert demo_db.execute("SELECT due_at > now() FROM garbage WHERE object_key = %s", [key]).fetchone() == (True,)
