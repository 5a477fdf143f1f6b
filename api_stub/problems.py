"""Everything that can be wrong with a request as a whole, in one table (RFC 9457)."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ProblemType:
    """A type of problem: its HTTP status, the last part of its type URI, its title."""

    status: int
    slug: str
    title: str


NOT_JSON = ProblemType(400, "not-json", "The body is not JSON")
NOT_A_LIST = ProblemType(400, "not-an-array", "The body is not what this path takes")
BAD_PARAMETER = ProblemType(400, "bad-parameter", "A parameter or header is malformed")
NO_DATABASE = ProblemType(400, "no-database", "No database named")
UNAUTHENTICATED = ProblemType(401, "unauthenticated", "Credentials missing or wrong")
NO_SUCH_DATABASE = ProblemType(403, "no-such-database", "No such database for you")
NOT_FOUND = ProblemType(404, "not-found", "Not found")
METHOD = ProblemType(405, "method-not-allowed", "Method not allowed")
TOO_SLOW = ProblemType(408, "too-slow", "The body came too slowly")
CONFLICT = ProblemType(409, "conflict", "Not possible as things stand")
TOO_LARGE = ProblemType(413, "too-large", "Too large")
MEDIA_TYPE = ProblemType(415, "media-type", "Media type not supported")
IDEMPOTENCY = ProblemType(422, "idempotency-conflict", "Idempotency-Key used for another request")
TOO_MANY_ATTEMPTS = ProblemType(429, "too-many-attempts", "Too many wrong passwords at once")
UNAVAILABLE = ProblemType(503, "unavailable", "Not available right now")
FULL = ProblemType(503, "full", "No room for more work right now")
UNEXPECTED = ProblemType(500, "unexpected", "Unexpected failure on our side")

BY_STATUS = {
    type_.status: type_
    for type_ in (NO_DATABASE, BAD_PARAMETER, UNAUTHENTICATED, NO_SUCH_DATABASE, NOT_FOUND, METHOD, TOO_LARGE)
}


@dataclass(slots=True)
class ProblemError(Exception):
    """A request that is refused whole. ``detail`` says what to do about it."""

    type: ProblemType
    detail: str
    headers: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.type.slug}: {self.detail}"


def sentence(error: Exception) -> str:
    """Return what ``error`` says with a capital first letter; names in it stay as they are."""
    text = str(error)
    return text[:1].upper() + text[1:]
