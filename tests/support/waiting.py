"""Waiting with a deadline."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

import httpx

T = TypeVar("T")


def eventually(look: Callable[[], T | None], deadline: float = 60) -> T:
    """Return what ``look`` finds, as soon as it finds something."""
    end = time.monotonic() + deadline
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {deadline} s")


def finished(client: httpx.Client, href: str, deadline: float = 90) -> dict[str, Any]:
    """The batch at its end; the API itself may be away in between."""

    def look() -> dict[str, Any] | None:
        try:
            batch: dict[str, Any] = client.get(href, headers={"Prefer": "wait=5"}).json()
        except httpx.TransportError:
            return None
        return batch if batch.get("state") in ("finished", "cancelled") else None

    return eventually(look, deadline)
