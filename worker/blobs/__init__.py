"""Blobs: contents in the object store, each one once per database and stored before a row names it."""
