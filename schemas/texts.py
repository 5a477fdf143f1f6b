"""The texts that the ledger can keep: all but those that PostgreSQL can't store."""

import re
from typing import Annotated

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

UNKEEPABLE = re.compile("[\0\ud800-\udfff]")


def _clean(value: str) -> str:
    if found := UNKEEPABLE.search(value):
        what = "U+0000" if found[0] == "\0" else "a lone surrogate"
        raise PydanticCustomError("text", "must not contain {what}", {"what": what})
    return value


KEEPABLE = AfterValidator(_clean)
"""Annotates a string of a contract: validation refuses U+0000 and lone surrogates."""
Text = Annotated[str, KEEPABLE]
