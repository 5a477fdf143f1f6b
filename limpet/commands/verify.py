"""``limpet verify``: compare a manifest and its files with the stored records."""

import sys
from pathlib import Path

import click

from limpet.commands.options import database_option, files_option, manifest_argument, map_option
from limpet.http.client import client_of
from limpet.http.imports import ImportCalls
from limpet.importing.failed_rows import check_report
from limpet.importing.manifest import manifest_at
from limpet.importing.verification import Verification
from limpet.terminal.exit_codes import SOME_FAILED
from limpet.terminal.progress import ProgressReporter


@click.command()
@manifest_argument
@files_option
@database_option
@map_option
@click.option("--report", type=click.Path(path_type=Path, dir_okay=False), help="Write the rows that differ here.")
@click.option("--extra/--no-extra", default=True, show_default=True, help="Look for records that no row names.")
@click.option("--json", "as_json", is_flag=True, help="One JSON line on standard output.")
def verify(  # noqa: PLR0913  the command line's
    manifest: str,
    files: Path | None,
    database: str | None,
    mapping: dict[str, str],
    report: Path | None,
    *,
    extra: bool,
    as_json: bool,
) -> None:
    """Compare the rows of MANIFEST, and the hashes of their files, with what is stored.

    Ends with 0 if all is equal, 3 if not.
    """
    check_report(report, manifest)
    with manifest_at(manifest, mapping) as source, client_of(database) as client:
        counts = Verification(ImportCalls(client, 60), source, files, extra).run(report)
    ProgressReporter(as_json=as_json).event("verified", {"counts": counts})
    if not as_json:
        click.echo(", ".join(f"{count:,} {what}" for what, count in counts.items()) or "no rows")
    sys.exit(SOME_FAILED if set(counts) - {"equal"} else 0)
