"""Judge entries: which field is invalid and why, and what the ledger keeps of an invalid entry for its sender."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from schemas.texts import UNKEEPABLE
from worker.verdicts import Verdict

_JSON_NAMES = {
    "str": "a string",
    "int": "a number",
    "float": "a number",
    "list": "an array",
    "NoneType": "null",
    "bool": "a boolean",
}
_MESSAGES = {
    "missing": "is required",
    "int_type": "must be an integer",
    "list_type": "must be an array",
    "string_type": "must be a string or null",
    "string_unicode": "must not contain a lone surrogate",
    "string_too_long": "must not be longer than {max_length} characters",
    "too_long": "must not have more than {max_length} items",
    "greater_than_equal": "must be {ge} or more",
    "less_than_equal": "must be at most {le}",
    "model_type": "must be a JSON object",
}
_SHOULD = re.compile(r"\A\w+ should\b")


class InvalidEntryError(Exception):
    """One entry is invalid: which field, why, and the HTTP status that says so."""

    def __init__(self, field: str, message: str, status: int = 422) -> None:
        super().__init__(f"{field}: {message}")
        self.field, self.message, self.status = field, message, status


def check_object(entry: object) -> dict[str, Any]:
    """Return ``entry``, a JSON object.

    Raises:
        InvalidEntryError: it is something else (400).

    """
    if not isinstance(entry, dict):
        name = type(entry).__name__
        raise InvalidEntryError("", f"must be a JSON object, not {_JSON_NAMES.get(name, name)}", 400)
    return entry


def field_errors(error: ValidationError) -> list[dict[str, str]]:
    """Return pydantic's errors as clients read them."""
    return [_field_error(dict(detail)) for detail in error.errors(include_url=False)]


def _field_error(error: Mapping[str, Any]) -> dict[str, str]:
    known = _MESSAGES.get(error["type"])
    message = known.format_map(error.get("ctx", {})) if known else _SHOULD.sub("must", error["msg"])
    # The names of members may be the sender's.
    field = UNKEEPABLE.sub("\ufffd", ".".join(str(part) for part in error["loc"]))
    return {"field": field, "message": message}


def describe_errors(errors: Iterable[Mapping[str, str]]) -> str:
    """Return field errors as one text."""
    return "; ".join(f"{e['field']} {e['message']}".strip() for e in errors)


def invalid_verdict(error: ValidationError | InvalidEntryError, record_key: int | None = None) -> Verdict:
    """Return the verdict on an invalid entry; its sender can correct it."""
    if isinstance(error, InvalidEntryError):
        status, errors = error.status, [{"field": error.field, "message": error.message}]
    else:
        status, errors = 422, field_errors(error)
    return Verdict("invalid", status, describe_errors(errors), "after-fix", record_key, tuple(errors))


def summarize_fields(entry: object, fields: Iterable[str]) -> dict[str, object]:
    """Return what the ledger keeps of an invalid entry, so that its sender recognizes it: ``fields``, cut short."""
    return {name: summarize_value(entry[name]) for name in fields if name in entry} if isinstance(entry, dict) else {}


def summarize_value(value: object) -> object:
    """Return ``value`` if it is null, a boolean or a number; of anything else the first 300 characters as text."""
    if value is None or isinstance(value, bool | int):
        return value
    text = value if isinstance(value, str) else repr(value)[:300]
    return UNKEEPABLE.sub("\ufffd", text[:300])
