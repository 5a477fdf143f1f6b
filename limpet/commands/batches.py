"""Show and steer batches: the commands batches, watch, report, retry, cancel, pause and resume."""

import sys
from typing import get_args
from uuid import UUID

import click

from limpet.commands.options import database_option, json_option
from limpet.http.client import Client, client_of
from limpet.http.imports import ImportCalls
from limpet.terminal.interrupt import ended_by_interrupt
from limpet.terminal.progress import Progress, ProgressReporter
from limpet.terminal.watch import exit_code, report_end, watch_to_end
from schemas.answers import Batch, BatchList, Outcome
from schemas.imports import Import

_PATIENCE_SECONDS = 600.0
_MEDIA_TYPES = {"csv": "text/csv", "ndjson": "application/x-ndjson", "json": "application/json"}
_batch_argument = click.argument("batch", type=click.UUID)


@click.command()
@click.option("--state", type=click.Choice(["accepted", "running", "finished", "cancelled"]))
@click.option("--outcome", type=click.Choice(get_args(Outcome)), help="Only those with items that ended so.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@database_option
@json_option
def batches(state: str | None, outcome: str | None, limit: int, database: str | None, *, as_json: bool) -> None:
    """List batches, newest first."""
    wanted = {"state": state, "outcome": outcome, "limit": str(limit)}
    query = "&".join(f"{name}={value}" for name, value in wanted.items() if value)
    with client_of(database) as client:
        found = client.ask(BatchList, "GET", f"/batches?{query}")
    for batch in found.batches:
        click.echo(batch.model_dump_json(by_alias=True) if as_json else _line(batch))


def _line(batch: Batch) -> str:
    counts = ", ".join(f"{number:,} {outcome}" for outcome, number in batch.counts.items())
    state = f"{batch.state}{', paused' if batch.paused else ''}"
    error = f"; ended early: {batch.error}" if batch.error else ""
    return f"{batch.id}  {batch.accepted_at:%Y-%m-%d %H:%M:%S}  {state:<9}  {batch.kind}  {counts or 'no items'}{error}"


@click.command()
@_batch_argument
@database_option
@json_option
def watch(batch: UUID, database: str | None, *, as_json: bool) -> None:
    """Watch a batch to its end. Ends with 0 if all went well, 3 if some items did not."""
    with client_of(database) as client:
        _watch(client, batch, ProgressReporter(as_json=as_json))


def _watch(client: Client, batch_id: UUID, reporter: ProgressReporter) -> None:
    with ended_by_interrupt(f"batch {batch_id} goes on"):
        progress = Progress(sent=client.batch(batch_id).total, share=1.0)
        end = watch_to_end(ImportCalls(client, _PATIENCE_SECONDS), batch_id, progress, reporter)
    report_end(end, reporter)
    if not reporter.as_json:
        click.echo(_line(end))
    sys.exit(exit_code(end))


@click.command()
@_batch_argument
@click.option("--format", "form", type=click.Choice(list(_MEDIA_TYPES)), default="csv", show_default=True)
@click.option("--outcome", help="Only items that ended so; several with commas.")
@database_option
def report(batch: UUID, form: str, outcome: str | None, database: str | None) -> None:
    """Write the report of a batch of any size to standard output."""
    path = f"/batches/{batch}/report" + (f"?outcome={outcome}" if outcome else "")
    with client_of(database) as client:
        accept = _MEDIA_TYPES["ndjson" if form == "json" else form]
        with client.opened("GET", path, headers={"Accept": accept}) as response:
            if form != "json":
                for text in response.iter_text():
                    sys.stdout.write(text)
                return
            # One array, written line by line: it may not fit in memory.
            separator = "[\n"
            for line in response.iter_lines():
                sys.stdout.write(f"{separator}{line}")
                separator = ",\n"
            sys.stdout.write("[]\n" if separator == "[\n" else "\n]\n")


@click.command()
@_batch_argument
@click.option("--force", is_flag=True, help="Also what a later item has overtaken since.")
@database_option
@json_option
def retry(batch: UUID, database: str | None, *, force: bool, as_json: bool) -> None:
    """Run the failed items again that may run as they are, as a new batch, and watch it.

    Cancelled items are not among them; send those again if you still want them.
    """
    with client_of(database) as client:
        child = client.ask(Batch, "POST", f"/batches/{batch}/retry?force={str(force).lower()}")
        if not as_json:
            click.echo(f"batch {child.id}")
        _watch(client, child.id, ProgressReporter(as_json=as_json))


@click.command()
@_batch_argument
@database_option
def cancel(batch: UUID, database: str | None) -> None:
    """Cancel a batch: what has not started will not, what has, finishes."""
    with client_of(database) as client:
        click.echo(_line(client.ask(Batch, "POST", f"/batches/{batch}/cancel")))


@click.command()
@_batch_argument
@database_option
def pause(batch: UUID, database: str | None) -> None:
    """Pause an import: none of its chunks is started until 'limpet resume'."""
    _steer(batch, database, "pause")


@click.command()
@_batch_argument
@database_option
def resume(batch: UUID, database: str | None) -> None:
    """Let a paused import go on."""
    _steer(batch, database, "resume")


def _steer(batch: UUID, database: str | None, action: str) -> None:
    with client_of(database) as client:
        found = client.ask(Import, "POST", f"/imports/{batch}/{action}")
        click.echo(_line(client.batch(found.id)))
