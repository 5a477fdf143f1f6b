"""Text that can be kept: PostgreSQL takes neither U+0000 nor half of a surrogate pair."""

import re
from typing import Annotated

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

UNKEEPABLE = re.compile("[\0\ud800-\udfff]")


def clean(value: str) -> str:
    """Return ``value`` if it can be kept.

    Raises:
        PydanticCustomError: it can't.

    """
    if found := UNKEEPABLE.search(value):
        what = "U+0000" if found[0] == "\0" else "a lone surrogate"
        raise PydanticCustomError("text", "must not contain {what}", {"what": what})
    return value


Text = Annotated[str, AfterValidator(clean)]
