"""Hands out unused keys, so each candidate creates its own records."""

_next = 1


def fresh(count: int) -> int:
    """Return the first of ``count`` keys."""
    global _next
    first, _next = _next, _next + count
    return first
