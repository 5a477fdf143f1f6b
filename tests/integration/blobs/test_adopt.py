"""Adopting what is stored: each content becomes one blob, however many transactions bring it at the same time."""

import secrets
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from sqlalchemy.orm import Session
from support.case_attachments import until_it_waits

from worker.blobs.lifecycle import ContentAddress, StoredContent, adopt, intend
from worker.database import engine, transaction

pytestmark = pytest.mark.usefixtures("server_environment")


def stored(addresses: list[ContentAddress]) -> list[StoredContent]:
    """Contents at keys of their own, as far as the database knows."""
    keys = intend("demo", len(addresses))
    return [StoredContent(key, *address) for key, address in zip(keys, addresses, strict=True)]


def test_transactions_that_share_contents_wait_for_each_other_and_name_the_same_blobs(
    demo_db: psycopg.Connection,
) -> None:
    addresses = [(secrets.token_bytes(32), size) for size in range(500)]
    ours, theirs = stored(addresses), stored(addresses[::-1])
    with ThreadPoolExecutor(1) as thread, Session(engine("demo")) as first:
        blob_ids = adopt(first, ours)
        second = thread.submit(adopted, theirs)
        until_it_waits(demo_db, "transactionid")
        first.commit()
        assert second.result(20) == blob_ids
    assert set(blob_ids) == set(addresses)
    noted = demo_db.execute("SELECT object_key FROM garbage WHERE object_key = ANY(%s)", [keys(ours + theirs)])
    assert sorted(key for (key,) in noted) == sorted(keys(theirs)), "the second copies are left to the collector"


def test_a_content_whose_key_was_removed_is_missing_from_the_answer_and_removed_again(
    demo_db: psycopg.Connection,
) -> None:
    kept, lost = stored([(secrets.token_bytes(32), 1), (secrets.token_bytes(32), 2)])
    demo_db.execute(
        "DELETE FROM garbage WHERE object_key = %s", [lost.object_key]
    )  # as the collector does, an hour later
    assert list(adopted([kept, lost])) == [kept.address]
    noted = demo_db.execute("SELECT object_key FROM garbage WHERE object_key = ANY(%s)", [keys([kept, lost])])
    assert noted.fetchall() == [(lost.object_key,)]


def adopted(contents: list[StoredContent]) -> dict[ContentAddress, int]:
    with transaction("demo") as session:
        return adopt(session, contents)


def keys(contents: list[StoredContent]) -> list[str]:
    return [content.object_key for content in contents]
