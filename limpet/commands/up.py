"""The command ``limpet up``."""

from pathlib import Path

import click

from limpet.embedded.endpoints import external_stores
from limpet.embedded.up import UpOptions, run


@click.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".limpet"),
    show_default=True,
    help="Folder for data, secrets and logs.",
)
@click.option("--port", type=click.IntRange(1, 65535), help="Port of the API.  [default: 8000, or any that is free]")
@click.option("--workers", type=click.IntRange(1, 64), default=2, show_default=True, help="Workers of two processes.")
@click.option("--external", is_flag=True, help="Use the database, broker and object store that the environment names.")
def up(data: Path, port: int | None, workers: int, *, external: bool) -> None:
    """Run the whole system on this machine, in the foreground.

    PostgreSQL, Valkey and SeaweedFS, then the API, workers, relay, beat and Flower;
    all on the loopback interface, all data in one folder.
    """
    stores = external_stores() if external else None
    run(UpOptions(data, port, workers, stores))
