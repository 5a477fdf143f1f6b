"""Batches that are in the ledger, and that nobody was told of; this process must be a server's side."""

from worker.database import transaction
from worker.ledger.accept import append_batch
from worker.ledger.model import ChunkMessage, NewBatch, NewItem


def accepted(*items: NewItem) -> ChunkMessage:
    """A batch of one chunk that nobody was told of; it is due in five seconds."""
    with transaction("demo") as session:
        (ring,) = append_batch(session, NewBatch("case_attachments", "test", items)).messages
    return ring


def upsert(key: int | None, **fields: object) -> NewItem:
    return NewItem("case_attachment.upsert", key, {"case_Key": 1, **fields})
