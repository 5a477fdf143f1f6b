"""Answers that come line by line: whole reports as NDJSON or CSV, and a batch's progress as server-sent events."""

import csv
import io
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import timedelta
from uuid import UUID

from anyio.to_thread import run_sync
from pydantic_core import to_json

from api_stub.response import envelopes
from api_stub.submit.waiters import Waiters
from worker.database import transaction
from worker.ledger.read import report
from worker.ledger.read.report import BatchView, ItemView

NDJSON = "application/x-ndjson"
CSV = "text/csv"
EVENTS = "text/event-stream"
END = "end"
_PAGE_ITEMS = 5000
_EVENT_INTERVAL = timedelta(seconds=0.5)
_COLUMNS = ("position", "key", "value", "status", "outcome", "retry", "body", "line")


def choose_format(accept: str) -> str | None:
    """Return the line format that ``Accept`` names first, unless it names JSON before."""
    first = accept.lower().partition(",")[0].partition(";")[0].strip()
    return first if first in (NDJSON, CSV) else None


def report_lines(database: str, batch_id: UUID, kind: str, outcomes: Sequence[str], after: int = -1) -> Iterator[str]:
    """Yield the report of a batch of any size in pieces of some thousand items, memory flat."""
    write_page = _write_csv if kind == CSV else _write_ndjson
    if kind == CSV:
        yield ",".join(_COLUMNS) + "\r\n"
    while True:
        with transaction(database) as session:
            page = report.read_items(session, batch_id, after=after, limit=_PAGE_ITEMS, outcomes=outcomes)
        if page:
            yield write_page(page)
            after = page[-1].position
        if len(page) < _PAGE_ITEMS:
            return


def _write_ndjson(page: Sequence[ItemView]) -> str:
    return "".join(to_json(envelopes.item_status(item)).decode() + "\n" for item in page)


def _write_csv(page: Sequence[ItemView]) -> str:
    out = io.StringIO()
    writer = csv.writer(out)
    for item in page:
        status = {"line": None, **envelopes.ident(item), **envelopes.item_status(item)}
        writer.writerow([status[name] for name in _COLUMNS])
    return out.getvalue()


async def events(waiters: Waiters, database: str, view: BatchView, last: str) -> AsyncIterator[str]:
    """Yield an event whenever more items are done, at most twice a second, and ``end`` with the batch's last state.

    The id of an event is how many items were done, so a client that comes back
    with the last one it saw gets only what is new.
    """
    last_sent = last
    while True:
        done = str(view.total - view.counts.get("pending", 0))
        if view.finished_at is not None:
            yield _event("end", END, view)
            return
        if done != last_sent:
            yield _event("progress", done, view)
            last_sent = done
        else:
            yield ": still here\n\n"  # a comment keeps proxies from closing a silent connection
        await waiters.until_ended(database, view.id, _EVENT_INTERVAL)
        if waiters.closed:
            return  # the client comes back, to another process, with the last id that it saw
        view = await run_sync(_view, database, view)


def _view(database: str, old: BatchView) -> BatchView:
    with transaction(database) as session:
        return report.read_batch(session, old.id) or old


def _event(name: str, event_id: str, view: BatchView) -> str:
    return f"event: {name}\nid: {event_id}\ndata: {envelopes.batch(view).model_dump_json(by_alias=True)}\n\n"
