"""Remove unreferenced blobs, and the objects whose keys are due for removal."""

from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from worker.blobs import s3
from worker.blobs.lifecycle import note_garbage
from worker.database import transaction
from worker.log import log_event, summarize_fault

_MAX_BLOBS = 500  # in one transaction
_MAX_OBJECTS = 20  # in one transaction, which waits for the store; the server ends one that idles for long


_COLLECT = text("""
    WITH unnamed AS (
        SELECT id FROM blob
        WHERE stored_at < now() - :age
          AND NOT EXISTS (SELECT FROM case_attachment AS r WHERE r.blob_id = blob.id)
          AND NOT EXISTS (SELECT FROM file_attachment AS f WHERE f.blob_id = blob.id)
          AND NOT EXISTS (SELECT FROM item WHERE item.blob_id = blob.id)
        LIMIT :limit FOR UPDATE SKIP LOCKED
    )
    DELETE FROM blob USING unnamed WHERE blob.id = unnamed.id RETURNING object_key
""")
# Never a manifest that an import still reads, however long it is paused; nor an object that a blob names.
_DUE = text("""
    SELECT object_key FROM garbage
    WHERE due_at <= now()
      AND NOT EXISTS (SELECT FROM loader WHERE loader.manifest = garbage.object_key AND loader.due_at IS NOT NULL)
      AND NOT EXISTS (SELECT FROM blob WHERE blob.object_key = garbage.object_key)
    ORDER BY due_at LIMIT :limit FOR UPDATE OF garbage SKIP LOCKED
""")


def collect(database: str, age: timedelta) -> int:
    """Remove blobs older than ``age`` that nothing names, and due objects; return the number of removed objects.

    The blob's row is deleted first; its foreign keys refuse that while a record or an item names it. The garbage row is
    deleted after the object, so a crash between the two only repeats the removal.
    """
    _delete_unreferenced_blobs(database, age)
    total = 0
    while count := _remove_due_objects(database):
        total += count
    return total


def _delete_unreferenced_blobs(database: str, age: timedelta) -> None:
    count = _MAX_BLOBS
    while count == _MAX_BLOBS:
        try:
            with transaction(database) as session:
                keys = session.scalars(_COLLECT, {"age": age, "limit": _MAX_BLOBS}).all()
                note_garbage(session, keys, timedelta())
            count = len(keys)
        except IntegrityError as fault:  # another transaction named one after our check: the next run sees it
            log_event("blobs.collect.named_meanwhile", database=database, reason=summarize_fault(fault))
            return


def _remove_due_objects(database: str) -> int:
    with transaction(database) as session:
        keys = list(session.scalars(_DUE, {"limit": _MAX_OBJECTS}))
        for key in keys:
            s3.remove(key)
        session.execute(text("DELETE FROM garbage WHERE object_key = ANY(:keys)"), {"keys": keys})
    return len(keys)
