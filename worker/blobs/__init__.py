"""Blobs: bytes in the object store, each content once in a database, stored before a row names it."""
