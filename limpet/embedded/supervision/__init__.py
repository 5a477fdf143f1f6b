"""Supervision: starts, watches, restarts and ends processes, and leaves none behind."""
