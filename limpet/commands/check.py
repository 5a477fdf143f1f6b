"""``limpet check``: compare what the ledger names with what the object store has."""

import json
import sys
from dataclasses import asdict

import click
from sqlalchemy.exc import DBAPIError

from limpet.commands.operate import known_databases
from limpet.commands.options import json_option
from worker.blobs.fsck import Checker, Finding, Tally
from worker.errors import RepairedElsewhereError, StoreUnavailableError
from worker.log import summarize_fault

_FINDINGS_EXIT_CODE = 3


@click.command()
@click.option("--database", "databases", multiple=True, help="Only this one; repeatable.  [default: all]")
@click.option("--hashes", is_flag=True, help="Read every content and compare its SHA-256, too.")
@click.option(
    "--repair", is_flag=True, help="Note objects that nothing names for the collector; nothing else is changed."
)
@json_option
def check(databases: tuple[str, ...], *, hashes: bool, repair: bool, as_json: bool) -> None:
    """Compare databases with the object store, in both directions; both may be in use.

    Ends with 0 if all is well, 3 if something was found (repaired or not), 1 if it could not be looked at.
    """
    found = 0
    for database in known_databases(databases):
        tally, here = Tally(), 0
        try:
            for finding in Checker(database, hashes, repair, tally).findings():
                here += 1
                _print_finding(database, finding, as_json=as_json)
        except (StoreUnavailableError, RepairedElsewhereError, DBAPIError) as fault:
            raise click.ClickException(f"{database}: {summarize_fault(fault)}") from fault
        _print_summary(database, tally, here, as_json=as_json)
        found += here
    sys.exit(_FINDINGS_EXIT_CODE if found else 0)


def _print_finding(database: str, finding: Finding, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"event": "finding", "database": database, **asdict(finding)}))
    else:
        click.echo(f"{database}: {finding.sort:<10}  {finding.object_key}  {finding.text}")


def _print_summary(database: str, tally: Tally, found: int, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"event": "end", "database": database, "findings": found, **asdict(tally)}))
        return
    click.echo(
        f"{database}: {tally.blobs:,} contents named, {tally.objects:,} objects of {tally.bytes:,} bytes in the store, "
        f"{tally.garbage:,} keys noted for removal, {tally.hashed:,} contents read; {found or 'nothing'} found"
    )
