"""``python -m chaos``: inject faults for some minutes; exit code 0 only if every promise was kept."""

import secrets
import shutil
import sys
import tempfile
from pathlib import Path

import click

from chaos.run import Options, run


@click.command()
@click.option("--minutes", default=10.0, show_default=True, help="How long to inject faults.")
@click.option("--seed", type=int, help="Repeat what a run sent, and the order of its faults.")
@click.option("--keep", is_flag=True, help="Leave the data folder for a look; a run that failed always does.")
def main(minutes: float, seed: int | None, *, keep: bool) -> None:
    """Inject faults into a new stack under load, and check from outside that every promise was kept."""
    chosen = secrets.randbelow(10**6) if seed is None else seed
    folder = Path(tempfile.mkdtemp(prefix="limpet-chaos-"))
    kept = run(Options(folder / "data", minutes, chosen), click.echo)
    if kept and not keep:
        shutil.rmtree(folder)
    else:
        click.echo(f"the data stays in {folder}")
    sys.exit(0 if kept else 1)


if __name__ == "__main__":
    main()
