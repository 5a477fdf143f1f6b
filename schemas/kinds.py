"""The names of the kinds: what an item can ask for. ``worker.kinds`` has their handlers."""

UPSERT = "case_attachment.upsert"
CREATE = "case_attachment.create"
DELETE = "case_attachment.delete"
