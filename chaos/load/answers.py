"""Reads from an HTTP answer how those items ended that had ended by then."""

from typing import Any, NamedTuple

import httpx


class AnsweredEnd(NamedTuple):
    """The end of one item in an answer; the answer to a single write has a status only."""

    status: int
    outcome: str | None = None


def read_ends(answer: httpx.Response, items: int) -> dict[int, AnsweredEnd]:
    """Return the ends of items by position, from the answer to a request with ``items`` items."""
    answered: dict[str, Any] = answer.json() if answer.content else {"data": None}
    if "actions" in answered:
        offset = items - len(answered["actions"])  # deleteAll is the first item of its batch, but no action
        return _ended(answered["actions"], offset)
    if isinstance(answered["data"], list):
        return _ended(answered["data"], 0)
    return {} if answer.status_code == httpx.codes.ACCEPTED else {0: AnsweredEnd(answer.status_code)}


def _ended(entries: list[dict[str, Any]], offset: int) -> dict[int, AnsweredEnd]:
    ended = (entry for entry in entries if entry["status"] != httpx.codes.ACCEPTED)
    return {entry["position"] + offset: AnsweredEnd(entry["status"], entry["outcome"]) for entry in ended}
