"""How a client wants to be answered: the headers ``Prefer`` (RFC 7240) and ``Accept`` (RFC 9110 §12.5.1)."""

import re
from dataclasses import dataclass
from datetime import timedelta

from fastapi import Request

from worker.settings import settings

_QUOTED, _SEPARATORS = re.compile('"([^"]*)"'), re.compile("[,;=]")
_JSON_TYPES = ("application/json", "text/json", "application/*", "*/*")


@dataclass(frozen=True, slots=True)
class Preferences:
    """How long to wait for the end, whether to answer before it, and what to echo in ``Preference-Applied``."""

    wait: timedelta
    respond_async: bool = False
    applied: str | None = None


def read_preferences(request: Request) -> Preferences:
    """Read all ``Prefer`` fields: the first of a name counts, unknown and malformed ones are ignored."""
    found: dict[str, str] = {}
    # What divides preferences does not within quotes.
    unquoted = _QUOTED.sub(lambda quoted: _SEPARATORS.sub(" ", quoted[1]), ",".join(request.headers.getlist("prefer")))
    for part in unquoted.split(","):
        name, _, value = part.partition(";")[0].partition("=")
        found.setdefault(name.strip().lower(), value.strip())
    limits = settings()
    seconds = found.get("wait", "")
    # The bound is far below nine digits of seconds.
    wait = (
        min(timedelta(seconds=int(seconds[:9])), limits.longest_wait)
        if seconds.isascii() and seconds.isdigit()
        else None
    )
    respond_async = "respond-async" in found
    applied = ["respond-async"] if respond_async else []
    if wait is not None:
        applied.append(f"wait={wait.seconds}")
    fallback = timedelta(0) if respond_async else limits.wait
    return Preferences(fallback if wait is None else wait, respond_async, ", ".join(applied) or None)


def media_type(request: Request) -> str:
    """Return the type of a JSON answer: text/plain only where nothing that names JSON better is accepted."""
    fields = request.headers.getlist("accept")
    accepted = {
        name.strip().lower()
        for name, *parameters in (entry.split(";") for entry in ",".join(fields).split(","))
        if not any(re.fullmatch(r"\s*q\s*=\s*0(\.0*)?\s*", p, re.IGNORECASE) for p in parameters)
    }
    if accepted.isdisjoint(_JSON_TYPES) and accepted & {"text/plain", "text/*"}:
        return "text/plain; charset=utf-8"
    return "application/json; charset=utf-8"
