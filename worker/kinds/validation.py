"""What is said of a bad entry: which field, why, and what of it is kept for whoever mends it."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

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


def not_an_object(entry: object) -> str:
    """Return what is wrong with an entry that is not a JSON object."""
    name = type(entry).__name__
    return f"must be a JSON object, not {_JSON_NAMES.get(name, name)}"


def field_error(error: Mapping[str, Any]) -> dict[str, str]:
    """Return one of pydantic's errors as clients read it."""
    known = _MESSAGES.get(error["type"])
    message = known.format_map(error.get("ctx", {})) if known else _SHOULD.sub("must", error["msg"])
    # The names of members may be the sender's.
    field = UNKEEPABLE.sub("\ufffd", ".".join(str(part) for part in error["loc"]))
    return {"field": field, "message": message}


def invalid_verdict(status: int, errors: Sequence[dict[str, str]], record_key: int | None = None) -> Verdict:
    """Return the verdict on an entry that breaks a rule; its sender can mend it."""
    body = "; ".join(f"{e['field']} {e['message']}".strip() for e in errors)
    return Verdict("invalid", status, body, "after-fix", record_key, tuple(errors))


def summarize_errors(value: object) -> object:
    """Return what the ledger keeps of a field of a refused entry, for whoever mends it."""
    if value is None or isinstance(value, bool | int):
        return value
    text = value if isinstance(value, str) else repr(value)[:300]
    return UNKEEPABLE.sub("\ufffd", text[:300])
