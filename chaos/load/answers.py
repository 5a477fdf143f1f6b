"""What an answer over HTTP tells of single items: how those ended that were done when it was given."""

from typing import Any, NamedTuple

import httpx


class Told(NamedTuple):
    """The end of one item as it was answered; a single write is answered with a status only."""

    status: int
    outcome: str | None = None


def ends_told(answer: httpx.Response, items: int) -> dict[int, Told]:
    """Return how items ended, by position, as the answer to a request with so many items tells it."""
    told: dict[str, Any] = answer.json() if answer.content else {"data": None}
    if "actions" in told:
        before = items - len(told["actions"])  # a deleteAll is the first item of its batch, and no action
        return _done(told["actions"], before)
    if isinstance(told["data"], list):
        return _done(told["data"], 0)
    return {} if answer.status_code == httpx.codes.ACCEPTED else {0: Told(answer.status_code)}


def _done(entries: list[dict[str, Any]], before: int) -> dict[int, Told]:
    done = (entry for entry in entries if entry["status"] != httpx.codes.ACCEPTED)
    return {entry["position"] + before: Told(entry["status"], entry["outcome"]) for entry in done}
