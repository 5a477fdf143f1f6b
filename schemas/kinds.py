"""The names of the kinds: what an item can ask for. ``worker.kinds.registry`` has their handlers."""

UPSERT = "case_attachment.upsert"
CREATE = "case_attachment.create"
DELETE = "case_attachment.delete"

FILE_PUT = "file.put"
FILE_DELETE = "file.delete"
FILE_DELETE_ALL = "file.delete_all"
FILE_KINDS = (FILE_PUT, FILE_DELETE, FILE_DELETE_ALL)
