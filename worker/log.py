"""Log one line for each transition: a dotted event, then facts. No payloads, no secrets."""

import logging
import re

import psycopg
from sqlalchemy.exc import DBAPIError

_log = logging.getLogger("limpet")
_CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def log_event(name: str, **facts: object) -> None:
    """Log the event ``name``, with its facts as ``key=value``."""
    _log.info("%s %s", name, _format_facts(facts))


def log_transient(name: str, fault: BaseException, **facts: object) -> None:
    """Log a transient fault: another attempt follows."""
    _log.warning("%s %s fault=%s", name, _format_facts(facts), summarize_fault(fault))


def summarize_fault(fault: BaseException) -> str:
    """Return the type of the fault and its first line; the statement and its values come after that line."""
    return f"{type(fault).__name__}: {_first_line(fault)[:300]}"


def log_bug(name: str, fault: BaseException, **facts: object) -> None:
    """Log a fault that needs an operator, with its traceback and PostgreSQL's diagnosis."""
    strip_values(fault)
    _log.error("%s %s", name, _format_facts(facts | _diagnosis(fault)), exc_info=fault)


def strip_values(fault: BaseException) -> None:
    """Cut the messages of ``fault`` and its causes to the first line.

    Below it PostgreSQL quotes the row that it refuses (DETAIL, CONTEXT), hence the caller's values.
    """
    link: BaseException | None = fault
    while link is not None:
        if isinstance(link, (DBAPIError, psycopg.Error)):
            link.args = (_first_line(link),)
        link = link.__cause__ or link.__context__


def _first_line(fault: BaseException) -> str:
    return next(iter(str(fault).splitlines()), "")


def _diagnosis(fault: BaseException) -> dict[str, object]:
    diag = getattr(getattr(fault, "orig", fault), "diag", None)
    diagnosis = {"sqlstate": diag.sqlstate, "constraint": diag.constraint_name} if diag else {}
    return {name: value for name, value in diagnosis.items() if value}


def _format_facts(facts: dict[str, object]) -> str:
    # A path or a name may contain a line break, and the text after it must not look like a line of ours.
    return _CONTROL_CHARACTERS.sub("?", " ".join(f"{key}={value}" for key, value in facts.items()))
