"""Content that is in the object store and that no record names yet."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stored:
    """An object that was written under an intended key and waits to be adopted."""

    object_key: str
    sha256: bytes
    size: int
