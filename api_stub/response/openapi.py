"""What the OpenAPI document says of every path: credentials, the database header, and how a refusal looks.

`identity` checks credentials itself, because a wrong one and a missing one get
different texts; these only describe them: those of the case-attachments API, and those of both APIs.
"""

from typing import Annotated, Any

from fastapi import Header, Security
from fastapi.security import APIKeyHeader, HTTPBearer
from fastapi.security.http import HTTPBase

from schemas.answers import Envelope

_Database = Annotated[str, Header(alias="vbasoftware-database", description="the target database")]


async def _database(database: _Database = "") -> None:
    """Nothing but the description of a header."""


CREDENTIALS = [
    Security(APIKeyHeader(name="x-api-key", auto_error=False)),
    Security(HTTPBearer(bearerFormat="JWT", auto_error=False)),
    Security(_database),
]
EITHER_CREDENTIALS = [
    Security(HTTPBase(scheme="basic", scheme_name="HTTPBasic", auto_error=False)),
    Security(APIKeyHeader(name="ALFSSOAuthNToken", scheme_name="ALFSSOAuthNToken", auto_error=False)),
    *CREDENTIALS,
]

_DESCRIPTIONS = {
    400: "not JSON, not of the documented form, a malformed parameter or header, or no database named",
    401: "a credential is missing or wrong",
    403: "no such database for these credentials",
    404: "nothing of that name here",
    408: "the body came too slowly",
    409: "not possible as things stand",
    412: "If-Match names another version",
    413: "too many items or bytes",
    415: "the body's media type is not JSON, or it is encoded",
    422: "an item's field breaks a rule, or the Idempotency-Key was used for another request",
    429: "too many wrong passwords at once; try again after Retry-After",
    500: "our fault; the log has it under debug.activityID",
    503: "a server behind us does not answer, or there is no room for more work; try again after Retry-After",
}


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI responses of refusals: those of every path and ``statuses``."""
    common = (400, 401, 403, 404, 429, 500, 503)
    return {
        status: {"model": Envelope, "description": _DESCRIPTIONS[status]} for status in sorted({*common, *statuses})
    }
