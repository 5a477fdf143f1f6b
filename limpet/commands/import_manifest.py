"""``limpet import``: send a manifest and its files, and watch the import to its end; resumable."""

import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import click

from limpet.commands.options import database_option, files_option, json_option, manifest_argument, map_option
from limpet.http.client import ClientError, RequestRefusedError, client_of
from limpet.http.imports import ImportCalls
from limpet.importing.contents import ContentUploader
from limpet.importing.dry_run import DryRun
from limpet.importing.failed_rows import check_report, failures, write_report
from limpet.importing.manifest import manifest_at
from limpet.importing.sending import Sender
from limpet.importing.source import Source
from limpet.terminal.exit_codes import SOME_FAILED
from limpet.terminal.interrupt import ended_by_interrupt
from limpet.terminal.progress import Progress, ProgressReporter
from limpet.terminal.watch import exit_code, report_end, watch_to_end
from schemas.answers import Batch
from schemas.imports import EmptyCells, Import, ImportKind, OnConflict, OpenImport
from schemas.manifest.reader import ManifestError


@dataclass(frozen=True)
class ImportArguments:
    """The command line of one import."""

    manifest: str
    files: Path | None
    kind: ImportKind
    mapping: dict[str, str]
    on_conflict: OnConflict
    rows_per_second: int | None
    report: Path | None
    name: str | None
    restart: bool
    dry_run: bool
    patience: float
    empty: EmptyCells = "keep"

    @property
    def import_name(self) -> str:
        """The name by which a second run finds the same import."""
        if self.name:
            return self.name
        return "standard input" if self.manifest == "-" else str(Path(self.manifest).resolve())

    def fingerprint(self, source: Source) -> str:
        """Return the hash of the manifest and the options; an import is resumed only with the same one."""
        folder = str(self.files.resolve()) if self.files else None
        facts = [
            source.sha256,
            self.kind,
            self.mapping,
            self.on_conflict,
            folder,
            *(["clear"] if self.empty == "clear" else []),
        ]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


@click.command("import")
@manifest_argument
@files_option
@database_option
@click.option("--kind", type=click.Choice(["case-attachments", "files"]), default="case-attachments", show_default=True)
@map_option
@click.option("--on-conflict", type=click.Choice(["replace", "skip", "newer"]), default="replace", show_default=True)
@click.option(
    "--empty", type=click.Choice(["keep", "clear"]), default="keep", help="What an empty cell does to a field."
)
@click.option("--rows-per-second", type=click.IntRange(1), help="Carry out no more than this.")
@click.option("--report", type=click.Path(path_type=Path, dir_okay=False), help="Write the failed rows here.")
@click.option("--dry-run", is_flag=True, help="Say what would become of the rows, and change nothing.")
@click.option("--name", help="Find the import again by this name.  [default: the manifest's path]")
@click.option("--restart", is_flag=True, help="Begin anew, whatever there is of that name.")
@json_option
@click.option("--patience", default=600.0, show_default=True, help="Seconds without an answer before giving up.")
def import_command(database: str | None, *, as_json: bool, **values: Any) -> None:
    """Bring the rows of MANIFEST (CSV or NDJSON, also gzip; - is standard input) and their files in.

    Ends with 0 if all is in, 3 if some rows failed, 4 if it was refused. Cut off, it goes on when it is run again.
    """
    options = ImportArguments(**values)
    reporter = ProgressReporter(as_json=as_json)
    check_report(options.report, options.manifest)
    with (
        manifest_at(options.manifest, options.mapping, options.kind, options.empty) as source,
        client_of(database) as client,
    ):
        calls = ImportCalls(client, options.patience)
        if options.dry_run:
            sys.exit(_dry_run(calls, options, source, reporter))
        sys.exit(_run(calls, options, source, reporter))


def _dry_run(calls: ImportCalls, options: ImportArguments, source: Source, reporter: ProgressReporter) -> int:
    counts = DryRun(calls, source, options.files, options.on_conflict, options.kind).run(options.report)
    reporter.event("dry-run", {"counts": counts})
    if not reporter.as_json:
        click.echo("dry run, nothing was changed: " + ", ".join(f"{n:,} {what}" for what, n in counts.items()))
    return SOME_FAILED if counts["refused"] else 0


def _run(calls: ImportCalls, options: ImportArguments, source: Source, reporter: ProgressReporter) -> int:
    wanted = OpenImport(
        name=options.import_name,
        fingerprint=options.fingerprint(source),
        kind=options.kind,
        on_conflict=options.on_conflict,
        rows_per_second=options.rows_per_second,
        restart=options.restart,
    )
    with ended_by_interrupt("nothing was sent"):
        opened = calls.open(wanted)
    _announce(opened, reporter)
    other_pace = options.rows_per_second not in (None, opened.rows_per_second)
    if opened.resumed and opened.state != "finished" and other_pace:
        pace = f"{opened.rows_per_second:,} rows a second at most" if opened.rows_per_second else "as fast as it can"
        click.echo(f"it goes on as it was opened, {pace}; --restart begins anew at another pace", err=True)
    run = ImportRun(opened, Progress(sent=opened.next_row), reporter)
    again = "the same command without --restart" if options.restart else "the same command"
    with ended_by_interrupt(f"{again} goes on where this one stopped; 'limpet cancel {opened.id}' ends the import"):
        batch = _send_and_watch(calls, options, source, run)
    _print_end(batch, reporter)
    _write_report(calls, options, source, batch.id, reporter)
    return exit_code(batch)


@dataclass(frozen=True)
class ImportRun:
    """An open import, and how its progress is shown."""

    opened: Import
    progress: Progress
    reporter: ProgressReporter


def _send_and_watch(calls: ImportCalls, options: ImportArguments, source: Source, run: ImportRun) -> Batch:
    if run.opened.state == "open":
        _send(calls, options, source, run)
    return watch_to_end(calls, run.opened.id, run.progress, run.reporter)


def _send(calls: ImportCalls, options: ImportArguments, source: Source, run: ImportRun) -> None:
    contents = ContentUploader(options.files, calls, run.opened) if options.files else None
    progress = run.progress

    def report_progress(next_row: int) -> None:
        progress.sent = next_row
        progress.share = source.bytes_read / source.size if source.size else 1.0
        progress.bytes = contents.uploaded if contents else 0
        _wait_while_paused(calls, run)
        run.reporter.show(progress)

    try:
        Sender(calls, run.opened, contents).send(source.rows(), report_progress)
    except RequestRefusedError as refusal:
        # Another client cancelled the import: go on, to report how its rows ended.
        if refusal.reason != "NotAppendableError" or calls.get(run.opened.id).state == "open":
            raise
    finally:
        if contents is not None:
            contents.close()
    progress.share = 1.0
    calls.close(run.opened.id)


def _wait_while_paused(calls: ImportCalls, run: ImportRun) -> None:
    batch = calls.batch(run.opened.id)
    run.progress.count(batch.counts, batch.total)
    while batch.paused:
        run.progress.paused = True
        run.reporter.show(run.progress)
        batch = calls.batch(run.opened.id, wait=1)
    run.progress.paused = False


def _announce(opened: Import, reporter: ProgressReporter) -> None:
    reporter.event("opened", {"batch": str(opened.id), "resumed": opened.resumed, "nextRow": opened.next_row})
    if reporter.as_json:
        return
    if opened.resumed and opened.state == "finished":
        click.echo(f"batch {opened.id}: imported already, with {opened.next_row:,} rows (--restart imports it again)")
    elif opened.resumed:
        click.echo(f"batch {opened.id}: goes on at row {opened.next_row:,}")
    else:
        click.echo(f"batch {opened.id}")


def _print_end(batch: Batch, reporter: ProgressReporter) -> None:
    report_end(batch, reporter)
    if reporter.as_json:
        return
    counts = ", ".join(f"{number:,} {outcome}" for outcome, number in batch.counts.items()) or "no rows"
    click.echo(f"{batch.state}: {counts}")
    if batch.error:
        click.echo(f"ended early: {batch.error}")


def _write_report(
    calls: ImportCalls, options: ImportArguments, source: Source, batch_id: UUID, reporter: ProgressReporter
) -> None:
    if options.report is None:
        return
    try:
        written = write_report(options.report, source, failures(calls.client, batch_id))
    except ManifestError as changed:
        raise ClientError(f"{options.manifest}: {changed}; 'limpet report {batch_id}' has the failed rows") from changed
    if written and not reporter.as_json:
        click.echo(f"{written:,} failed rows with their reasons in {options.report}")
