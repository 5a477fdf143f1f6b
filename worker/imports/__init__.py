"""Imports: batches that grow while they are carried out, fed by clients or read by the workers."""
