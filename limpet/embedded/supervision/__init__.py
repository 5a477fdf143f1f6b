"""Supervision: processes are started, watched, restarted and ended, and none is left behind."""
