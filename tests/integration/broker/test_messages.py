"""What travels through the broker."""

import json
import uuid

import pytest
import redis

from worker.broker.celery_app import app
from worker.broker.publish import publish_chunks
from worker.ledger.model import ChunkMessage


def test_a_message_is_less_than_a_kilobyte_and_says_no_more_than_ids(
    stack: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.conf, "broker_url", stack["LIMPET_BROKER_URL"])
    batch_id = uuid.uuid4()
    # A queue that no worker takes from, so the message can be looked at.
    publish_chunks("d" * 32, [ChunkMessage(2**40, batch_id, 9_999_000, 9_999_499, "test.look")])
    with redis.Redis.from_url(stack["LIMPET_BROKER_URL"]) as connection:
        (message,) = connection.lrange("test.look", 0, -1)
        connection.delete("test.look")
    assert len(message) < 1024
    said = json.loads(message)["headers"]["argsrepr"]
    assert said == f"{'d' * 32}: batch {batch_id}, items 9999000 to 9999499"
