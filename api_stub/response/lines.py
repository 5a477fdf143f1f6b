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
_PAGE = 5000
_PACE = timedelta(seconds=0.5)
_COLUMNS = ("position", "key", "value", "status", "outcome", "retry", "body", "line")


def wanted(accept: str) -> str | None:
    """Return the line format that ``Accept`` names first, unless it names JSON before."""
    first = accept.lower().partition(",")[0].partition(";")[0].strip()
    return first if first in (NDJSON, CSV) else None


def report_lines(database: str, batch_id: UUID, kind: str, outcomes: Sequence[str], after: int = -1) -> Iterator[str]:
    """Yield the report of a batch of any size in pieces of some thousand items, memory flat."""
    spell = _csv if kind == CSV else _ndjson
    if kind == CSV:
        yield ",".join(_COLUMNS) + "\r\n"
    while True:
        with transaction(database) as session:
            page = report.read_items(session, batch_id, after=after, limit=_PAGE, outcomes=outcomes)
        if page:
            yield spell(page)
            after = page[-1].position
        if len(page) < _PAGE:
            return


def _ndjson(page: Sequence[ItemView]) -> str:
    return "".join(to_json(envelopes.item_status(item)).decode() + "\n" for item in page)


def _csv(page: Sequence[ItemView]) -> str:
    out = io.StringIO()
    writer = csv.writer(out)
    for item in page:
        status = {"line": None, **envelopes.ident(item), **envelopes.item_status(item)}
        writer.writerow([status[name] for name in _COLUMNS])
    return out.getvalue()


async def events(waiting: Waiters, database: str, view: BatchView, last: str) -> AsyncIterator[str]:
    """Yield an event whenever more items are done, at most twice a second, and ``end`` with the batch's last state.

    The id of an event is how many items were done, so a client that comes back
    with the last one it saw gets only what is new.
    """
    seen = last
    while True:
        done = str(view.total - view.counts.get("pending", 0))
        if view.finished_at is not None:
            yield _event("end", END, view)
            return
        if done != seen:
            yield _event("progress", done, view)
            seen = done
        else:
            yield ": still here\n\n"  # a comment keeps proxies from closing a silent connection
        await waiting.until_ended(database, view.id, _PACE)
        if waiting.closed:
            return  # the client comes back, to another process, with the last id that it saw
        view = await run_sync(_view, database, view)


def _view(database: str, old: BatchView) -> BatchView:
    with transaction(database) as session:
        return report.read_batch(session, old.id) or old


def _event(name: str, ident: str, view: BatchView) -> str:
    return f"event: {name}\nid: {ident}\ndata: {envelopes.batch(view).model_dump_json(by_alias=True)}\n\n"
