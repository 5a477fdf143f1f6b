"""Imports: batches that grow while they run, with rows from a client or from a manifest that workers read."""
