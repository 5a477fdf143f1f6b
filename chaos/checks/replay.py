"""Replay: every item once more, in the serial models, and what they end with against what the stack ended with.

The order is that in which items took effect: the time at which the transaction
that settled them was committed. It must be an order of acceptance: nothing that
was answered before another was sent may come after that. Requests that overlap
may come either way in family A; the files of one item follow the order numbers.
"""

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

import psycopg

from chaos.checks.findings import Findings
from chaos.checks.ledger import Ledger
from chaos.load.requests import RESTRICTED, Content, Wanted, digest
from chaos.models.case_attachments import Sent, Serial
from chaos.models.file_attachments import SerialFiles

_SETTLED = """
    SELECT i.batch_id, i.position, i.acceptance, i.kind, i.key, i.record_key, i.outcome, i.status,
           i.payload -> 'retry_of' ->> 0, i.payload -> 'retry_of' ->> 1, i.payload ->> 'item',
           b.cancel_requested_at IS NOT NULL
    FROM item AS i JOIN batch AS b ON b.id = i.batch_id WHERE i.outcome IS NOT NULL
    ORDER BY pg_xact_commit_timestamp(i.xmin), i.acceptance, i.position
"""
_AT_ONCE = 5_000
_FILES = ("file.put", "file.delete", "file.delete_all")


class Settled(NamedTuple):
    """One item of the ledger with its end; ``again_*`` is the place of what it repeats."""

    batch: UUID
    position: int
    acceptance: int
    kind: str
    key: int | None
    record_key: int | None
    outcome: str
    status: int
    again_acceptance: str | None
    again_position: str | None
    collection: str | None
    cancelled: bool

    @property
    def place(self) -> tuple[int, int]:
        """Its place in the order of the database."""
        return self.acceptance, self.position

    @property
    def retry_of(self) -> tuple[int, int] | None:
        """The place of the item that it repeats."""
        if self.again_acceptance is None or self.again_position is None:
            return None
        return int(self.again_acceptance), int(self.again_position)


@dataclass
class Seen:
    """What has taken effect on one record or collection so far."""

    sent: float = -math.inf  # the latest moment at which any of it was sent
    made: float = -math.inf  # when the request that made the record was answered
    last: dict[UUID, int] = field(default_factory=dict)  # the position, by batch
    place: tuple[int, int] = (0, 0)


@dataclass
class Replay:
    """The serial models, and what they have seen."""

    ledger: Ledger
    findings: Findings
    records: Serial = field(default_factory=Serial)
    files: dict[str, SerialFiles] = field(default_factory=dict)
    outcomes: Counter[str] = field(default_factory=Counter)
    told: int = 0  # items whose end was answered
    _seen: dict[tuple[str, int], Seen] = field(default_factory=dict)

    def run(self, database: psycopg.Connection) -> None:
        """Carry out all items."""
        with database.transaction(), database.cursor("settled") as rows:
            rows.itersize = _AT_ONCE
            for row in rows.execute(_SETTLED):
                item = Settled(*row)
                self.outcomes[item.outcome] += 1
                self._hold_to_what_was_told(item)
                try:
                    self._carry_out(item, self._wanted(item))
                except (AssertionError, KeyError, IndexError) as wrong:
                    self.findings.note("differing", f"{item}: {type(wrong).__name__}: {wrong}")

    def _hold_to_what_was_told(self, item: Settled) -> None:
        name = self.ledger.origins[item.batch].name
        told = self.ledger.calls.told.get(name or "", {}).get(item.position)
        if told is None:
            return
        self.told += 1
        if told.status != item.status or told.outcome not in (None, item.outcome):
            self.findings.note("taken back", f"{item} was answered as {told}")

    def _wanted(self, item: Settled) -> Wanted:
        """Return what was sent as this item."""
        batch, position = item.batch, item.position
        if item.retry_of is not None:
            batch, position = self.ledger.of_acceptance[item.retry_of[0]], item.retry_of[1]
        name = self.ledger.origins[batch].name
        assert name is not None, "a retry leads to what was sent"
        return self.ledger.wanted(name)[position]

    def _carry_out(self, item: Settled, wanted: Wanted) -> None:
        if item.outcome == "cancelled":
            assert item.cancelled, "nobody cancelled it"
            return
        if item.kind in _FILES:
            self._carry_out_action(item, wanted)
            return
        assert (item.outcome == "invalid") == wanted.bad, f"{wanted} is {'' if wanted.bad else 'not '}to be refused"
        if item.outcome == "invalid":
            return
        # Refused by the database before it had a key, it has touched no record.
        key = wanted.key or item.record_key or 0
        assert key == (item.record_key or 0), f"{wanted} changed {item.record_key}"
        seen = self._in_order(item, "record", key) if key else Seen()
        span = self.ledger.origins[item.batch].span
        there = key in self.records.records
        if item.status == 404 and there and seen.made > span.sent:
            # The record is being made by a request that overlaps with this one, which did not see it yet.
            return
        self.records.carry_out(
            Sent(item.place, wanted.kind, key, wanted.fields, item.outcome, item.status, item.retry_of)
        )
        if not there and key in self.records.records:
            seen.made = span.answered

    def _carry_out_action(self, item: Settled, wanted: Wanted) -> None:
        collection = item.collection or ""
        assert item.key is not None or item.outcome == "invalid"
        before = self._seen.get(("files", item.key or 0), Seen()).place
        if item.place < before:
            self.findings.note("out of order", f"{item} after {before}")
        self._in_order(item, "files", item.key or 0)
        action = None if wanted.kind == "delete_all" else wanted.fields
        files = self.files.setdefault(collection, SerialFiles())
        if item.status == 500:
            assert wanted.fields.get("accessType") == RESTRICTED, f"{wanted} is nothing that the database refuses"
            return
        if item.retry_of is not None and files.overtaken(action, item.place, item.retry_of):
            end = ("skipped", 200)
        else:
            end = files.carry_out(action, item.record_key, item.place)
        assert (item.outcome, item.status) == end, f"{wanted} should be {end}"

    def _in_order(self, item: Settled, what: str, key: int) -> Seen:
        """Note that the item took effect, and whether it did before something that had to be first."""
        seen = self._seen.setdefault((what, key), Seen())
        span = self.ledger.origins[item.batch].span
        if span.answered < seen.sent:
            self.findings.note("out of order", f"{item} after something that was sent when it had been answered")
        if seen.last.get(item.batch, -1) > item.position:
            self.findings.note("out of order", f"{item} after position {seen.last[item.batch]}")
        seen.sent = max(seen.sent, span.sent)
        seen.last[item.batch] = item.position
        seen.place = max(seen.place, item.place)
        return seen

    def compare_records(self, database: psycopg.Connection) -> int:
        """Hold every record against the model's; return how many there are."""
        count = 0
        left = dict(self.records.records)
        with database.transaction(), database.cursor("records") as rows:
            rows.itersize = _AT_ONCE
            for key, comment, user, sha256, size in rows.execute(_RECORDS):
                count += 1
                wanted = left.pop(key, None)
                if wanted is None:
                    self.findings.note("doubled", f"record {key}, which should have been deleted")
                elif (comment, user, sha256, size) != _shown(wanted):
                    self.findings.note("lost", f"record {key} is {comment!r}, {size} bytes; should be {wanted}")
        for key in left:
            self.findings.note("lost", f"record {key} is gone")
        return count


_RECORDS = """
    SELECT r.case_attachment_key, r.comment, r.entry_user, b.sha256, b.size
    FROM case_attachment AS r LEFT JOIN blob AS b ON b.id = r.blob_id
"""


def _shown(record: dict[str, object]) -> tuple[object, ...]:
    content = record["attachment"]
    named = (digest(content), content.size) if isinstance(content, Content) else (None, None)
    return (record["comment"], record["entry_User"], *named)
