"""Remove the blobs that nothing names, and the objects that are due."""

from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from worker.blobs import s3
from worker.blobs.lifecycle import note_garbage
from worker.database import transaction
from worker.log import log_event, summarize_fault

_DISOWN_AT_ONCE = 500
_EMPTY_AT_ONCE = 20


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
# Never what a manifest is still read from, however long its import is paused; nor what a blob names, whoever noted it.
_DUE = text("""
    SELECT object_key FROM garbage
    WHERE due_at <= now()
      AND NOT EXISTS (SELECT FROM loader WHERE loader.manifest = garbage.object_key AND loader.due_at IS NOT NULL)
      AND NOT EXISTS (SELECT FROM blob WHERE blob.object_key = garbage.object_key)
    ORDER BY due_at LIMIT :limit FOR UPDATE OF garbage SKIP LOCKED
""")


def collect(database: str, age: timedelta) -> int:
    """Remove blobs older than ``age`` that nothing names, and objects that are due; return how many objects went.

    The row goes first, and the foreign keys refuse while a record or an item
    names it. A removed object's garbage row goes after the object, so a crash
    between the two only repeats the removal.
    """
    _disown(database, age)
    gone = 0
    while removed := _empty_some(database):
        gone += removed
    return gone


def _disown(database: str, age: timedelta) -> None:
    found = _DISOWN_AT_ONCE
    while found == _DISOWN_AT_ONCE:
        try:
            with transaction(database) as session:
                keys = session.scalars(_COLLECT, {"age": age, "limit": _DISOWN_AT_ONCE}).all()
                note_garbage(session, keys, timedelta())
            found = len(keys)
        except IntegrityError as named:  # somebody named one between our look and our removal: the next run sees it
            log_event("blobs.collect.named_meanwhile", database=database, reason=summarize_fault(named))
            return


def _empty_some(database: str) -> int:
    # Few at a time: the transaction waits for the store meanwhile, and the server ends one that idles for long.
    with transaction(database) as session:
        keys = list(session.scalars(_DUE, {"limit": _EMPTY_AT_ONCE}))
        for key in keys:
            s3.remove(key)
        session.execute(text("DELETE FROM garbage WHERE object_key = ANY(:keys)"), {"keys": keys})
    return len(keys)
