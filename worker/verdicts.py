"""How an item ended, and what its sender should do about it."""

from typing import Literal, NamedTuple, get_args

Outcome = Literal["created", "updated", "deleted", "skipped", "invalid", "failed", "cancelled"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
Retry = Literal["never", "as-is", "after-fix"]


class Verdict(NamedTuple):
    """The end of one item: outcome, HTTP status, a text for people, and whether its sender may send it again.

    ``record_key`` is the key of the record it speaks of; ``errors`` name the
    fields of an invalid item.
    """

    outcome: Outcome
    status: int
    body: str
    retry: Retry = "never"
    record_key: int | None = None
    errors: tuple[dict[str, str], ...] | None = None

    def on(self, record_key: int) -> "Verdict":
        """Return this verdict, said of the record ``record_key``."""
        # Once for each item: _replace takes several times as long.
        return Verdict(self.outcome, self.status, self.body, self.retry, record_key, self.errors)


CREATED = Verdict("created", 201, "Created")
UPDATED = Verdict("updated", 200, "Updated")
DELETED = Verdict("deleted", 204, "Deleted")
CANCELLED = Verdict("cancelled", 409, "Cancelled before it ran; send it again if it is still wanted", "as-is")
SUPERSEDED = Verdict("skipped", 200, "Skipped: superseded, a later item changed this record since")
QUARANTINED = Verdict(
    "failed",
    500,
    "Quarantined: its worker died three times while carrying out this item alone. "
    "Look at the content, then retry the batch",
    "as-is",
)
UNEXPECTED = Verdict("failed", 500, "Failed on our side; the log has the reason under the batch id", "as-is")
