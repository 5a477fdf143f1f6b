"""Execution: a worker claims a chunk, applies its items and finishes the batch."""
