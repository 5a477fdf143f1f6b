"""Requests: bodies, contents and preferences, read within bounds."""
