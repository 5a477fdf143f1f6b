"""Replays every item in the serial models, and compares the models with the stack.

Items are replayed in the order of their effects: the commit times of the
transactions that ended them. A request that was answered before another was sent
must come before that other. Overlapping requests of case attachments may come in
either order; the files of one item follow the order numbers.
"""

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

import psycopg

from chaos.checks.findings import Findings
from chaos.checks.ledger import Ledger
from chaos.load.requests import RESTRICTED, Content, RequestItem, digest
from chaos.models.case_attachments import Sent, Serial
from chaos.models.file_attachments import SerialFiles

_ENDED_ITEMS = """
    SELECT i.batch_id, i.position, i.acceptance, i.kind, i.key, i.record_key, i.outcome, i.status,
           i.payload -> 'retry_of' ->> 0, i.payload -> 'retry_of' ->> 1, i.payload ->> 'item',
           b.cancel_requested_at IS NOT NULL
    FROM item AS i JOIN batch AS b ON b.id = i.batch_id WHERE i.outcome IS NOT NULL
    ORDER BY pg_xact_commit_timestamp(i.xmin), i.acceptance, i.position
"""
_FETCH_ROWS = 5_000
_FILE_KINDS = ("file.put", "file.delete", "file.delete_all")


class EndedItem(NamedTuple):
    """One item of the ledger with its end; ``retry_of_*`` identify the item that it repeats."""

    batch: UUID
    position: int
    acceptance: int
    kind: str
    key: int | None
    record_key: int | None
    outcome: str
    status: int
    retry_of_acceptance: str | None
    retry_of_position: str | None
    collection: str | None
    cancelled: bool

    @property
    def item_id(self) -> tuple[int, int]:
        """Order number and position."""
        return self.acceptance, self.position

    @property
    def retry_of(self) -> tuple[int, int] | None:
        """The id of the item that it repeats."""
        if self.retry_of_acceptance is None or self.retry_of_position is None:
            return None
        return int(self.retry_of_acceptance), int(self.retry_of_position)


@dataclass
class History:
    """The effects so far on one record or collection."""

    sent: float = -math.inf  # the latest time at which a request with an effect was sent
    created: float = -math.inf  # when the request that created the record was answered
    last: dict[UUID, int] = field(default_factory=dict)  # the last position, by batch
    item_id: tuple[int, int] = (0, 0)


@dataclass
class Replay:
    """The serial models, and the histories of what they replayed."""

    ledger: Ledger
    findings: Findings
    records: Serial = field(default_factory=Serial)
    files: dict[str, SerialFiles] = field(default_factory=dict)
    outcomes: Counter[str] = field(default_factory=Counter)
    answered: int = 0  # items whose end was answered
    _histories: dict[tuple[str, int], History] = field(default_factory=dict)

    def run(self, database: psycopg.Connection) -> None:
        """Replay all items."""
        with database.transaction(), database.cursor("settled") as rows:
            rows.itersize = _FETCH_ROWS
            for row in rows.execute(_ENDED_ITEMS):
                item = EndedItem(*row)
                self.outcomes[item.outcome] += 1
                self._compare_with_answer(item)
                try:
                    self._carry_out(item, self._find_sent(item))
                except (AssertionError, KeyError, IndexError) as error:
                    self.findings.note("differing", f"{item}: {type(error).__name__}: {error}")

    def _compare_with_answer(self, item: EndedItem) -> None:
        name = self.ledger.origins[item.batch].name
        answered = self.ledger.calls.ends.get(name or "", {}).get(item.position)
        if answered is None:
            return
        self.answered += 1
        if answered.status != item.status or answered.outcome not in (None, item.outcome):
            self.findings.note("taken back", f"{item} was answered as {answered}")

    def _find_sent(self, item: EndedItem) -> RequestItem:
        """Return the request's item that became this item."""
        batch, position = item.batch, item.position
        if item.retry_of is not None:
            batch, position = self.ledger.of_acceptance[item.retry_of[0]], item.retry_of[1]
        name = self.ledger.origins[batch].name
        assert name is not None, "a retry leads to a request"
        return self.ledger.wanted(name)[position]

    def _carry_out(self, item: EndedItem, wanted: RequestItem) -> None:
        if item.outcome == "cancelled":
            assert item.cancelled, "no client cancelled it"
            return
        if item.kind in _FILE_KINDS:
            self._carry_out_action(item, wanted)
            return
        assert (item.outcome == "invalid") == wanted.invalid, (
            f"{wanted} is {'' if wanted.invalid else 'not '}to be refused"
        )
        if item.outcome == "invalid":
            return
        # An item that the database refused before it had a key has changed no record.
        key = wanted.key or item.record_key or 0
        assert key == (item.record_key or 0), f"{wanted} changed {item.record_key}"
        history = self._check_order(item, "record", key) if key else History()
        span = self.ledger.origins[item.batch].span
        there = key in self.records.records
        if item.status == 404 and there and history.created > span.sent:
            # An overlapping request created the record; this one did not see it yet.
            return
        self.records.carry_out(
            Sent(item.item_id, wanted.kind, key, wanted.fields, item.outcome, item.status, item.retry_of)
        )
        if not there and key in self.records.records:
            history.created = span.answered

    def _carry_out_action(self, item: EndedItem, wanted: RequestItem) -> None:
        if wanted.invalid:
            assert (item.outcome, item.status) == ("invalid", 422), f"{wanted} is beside deleteAll, which is refused"
            return
        collection = item.collection or ""
        assert item.key is not None or item.outcome == "invalid"
        before = self._histories.get(("files", item.key or 0), History()).item_id
        if item.item_id < before:
            self.findings.note("out of order", f"{item} after {before}")
        self._check_order(item, "files", item.key or 0)
        action = None if wanted.kind == "delete_all" else wanted.fields
        files = self.files.setdefault(collection, SerialFiles())
        if item.status == 500:
            assert wanted.fields.get("accessType") == RESTRICTED, f"{wanted} is nothing that the database refuses"
            return
        if item.retry_of is not None and files.overtaken(action, item.item_id, item.retry_of):
            end = ("skipped", 200)
        else:
            end = files.carry_out(action, item.record_key, item.item_id)
        assert (item.outcome, item.status) == end, f"{wanted} should be {end}"

    def _check_order(self, item: EndedItem, what: str, key: int) -> History:
        """Record the item's effect, and note whether an item that had to come first came later."""
        history = self._histories.setdefault((what, key), History())
        span = self.ledger.origins[item.batch].span
        if span.answered < history.sent:
            self.findings.note("out of order", f"{item} after something that was sent when it had been answered")
        if history.last.get(item.batch, -1) > item.position:
            self.findings.note("out of order", f"{item} after position {history.last[item.batch]}")
        history.sent = max(history.sent, span.sent)
        history.last[item.batch] = item.position
        history.item_id = max(history.item_id, item.item_id)
        return history

    def compare_records(self, database: psycopg.Connection) -> int:
        """Compare every record with the model's; return how many there are."""
        count = 0
        left = dict(self.records.records)
        with database.transaction(), database.cursor("records") as rows:
            rows.itersize = _FETCH_ROWS
            for key, comment, user, sha256, size in rows.execute(_RECORDS):
                count += 1
                wanted = left.pop(key, None)
                if wanted is None:
                    self.findings.note("doubled", f"record {key}, which should have been deleted")
                elif (comment, user, sha256, size) != _expected_columns(wanted):
                    self.findings.note("lost", f"record {key} is {comment!r}, {size} bytes; should be {wanted}")
        for key in left:
            self.findings.note("lost", f"record {key} is gone")
        return count


_RECORDS = """
    SELECT r.case_attachment_key, r.comment, r.entry_user, b.sha256, b.size
    FROM case_attachment AS r LEFT JOIN blob AS b ON b.id = r.blob_id
"""


def _expected_columns(record: dict[str, object]) -> tuple[object, ...]:
    content = record["attachment"]
    named = (digest(content), content.size) if isinstance(content, Content) else (None, None)
    return (record["comment"], record["entry_User"], *named)
