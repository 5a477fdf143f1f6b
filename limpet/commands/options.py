"""The arguments and options that several commands take."""

from collections.abc import Sequence
from pathlib import Path

import click

database_option = click.option("--database", help="The target database.  [default: LIMPET_DATABASE]")
json_option = click.option("--json", "as_json", is_flag=True, help="JSON lines on standard output.")
manifest_argument = click.argument("manifest", type=click.Path(allow_dash=True, dir_okay=False))
# Click checks the folder before anything is opened: an import opened with a wrong folder would block the right one.
files_option = click.option(
    "--files",
    type=click.Path(exists=True, file_okay=False, resolve_path=True, path_type=Path),
    help="The folder of the files that attachment_Path names.",
)


def _mapping(_context: click.Context, _option: click.Parameter, pairs: Sequence[str]) -> dict[str, str]:
    """Return the pairs ``old=new`` as a dict."""
    split = [pair.partition("=") for pair in pairs]
    if invalid := [pair for pair, (old, _, new) in zip(pairs, split, strict=True) if not (old and new)]:
        raise click.BadParameter(f"{invalid[0]!r} is not old=new", param_hint="--map")
    return {old: new for old, _, new in split}


_MAP_HELP = "Read column OLD as NEW; repeatable."
map_option = click.option("--map", "mapping", multiple=True, metavar="OLD=NEW", callback=_mapping, help=_MAP_HELP)
