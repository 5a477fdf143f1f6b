"""One log line for each transition: a dotted event, then facts. No payloads, no secrets."""

import logging

_log = logging.getLogger("limpet")


def event(name: str, **facts: object) -> None:
    """Log that ``name`` happened, with its facts as ``key=value``."""
    _log.info("%s %s", name, _spell(facts))


def trouble(name: str, fault: BaseException, **facts: object) -> None:
    """Log a fault that heals by itself: the next attempt is on its way."""
    _log.warning("%s %s fault=%s", name, _spell(facts), in_short(fault))


def in_short(fault: BaseException) -> str:
    """Return what sort of fault it is and its first line: the statement and its values come after that."""
    first = next(iter(str(fault).splitlines()), "")
    return f"{type(fault).__name__}: {first[:300]}"


def bug(name: str, fault: BaseException, **facts: object) -> None:
    """Log a fault that somebody must look at, with its traceback."""
    _log.error("%s %s", name, _spell(facts), exc_info=fault)


def _spell(facts: dict[str, object]) -> str:
    return " ".join(f"{key}={value}" for key, value in facts.items())
