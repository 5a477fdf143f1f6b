"""One log line for each transition: a dotted event, then facts. No payloads, no secrets."""

import logging

_log = logging.getLogger("limpet")


def event(name: str, **facts: object) -> None:
    """Log that ``name`` happened, with its facts as ``key=value``."""
    _log.info("%s %s", name, _spell(facts))


def trouble(name: str, fault: BaseException, **facts: object) -> None:
    """Log a fault that heals by itself or that somebody must look at; the traceback only when debugging."""
    _log.warning("%s %s fault=%s: %.300s", name, _spell(facts), type(fault).__name__, fault, exc_info=_debugging())


def _debugging() -> bool:
    return _log.isEnabledFor(logging.DEBUG)


def _spell(facts: dict[str, object]) -> str:
    return " ".join(f"{key}={value}" for key, value in facts.items())
