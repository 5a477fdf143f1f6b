"""Keys of records that nobody has used: each candidate creates records of its own."""

_next = 1


def fresh(count: int) -> int:
    """Return the first of ``count`` keys."""
    global _next
    first, _next = _next, _next + count
    return first
