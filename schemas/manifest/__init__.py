"""Manifests: their rows, and the files that the rows name."""
