"""Checks: ledger, records, blobs and answers held against what was sent and against the models."""
