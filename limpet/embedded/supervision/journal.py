"""What `limpet up` says: on the screen and in ``logs/up.log``."""

import os
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import click


def screen(text: str) -> None:
    """Show ``text``; the stack goes on when nobody reads any more."""
    try:
        click.echo(text)
    except BrokenPipeError:
        # Whoever read our output has gone (`limpet up | head`): from now on, say it to nobody.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def journal(path: Path) -> Callable[[str], None]:
    """Return a function that shows a text and keeps it at ``path`` with the time."""

    def say(text: str) -> None:
        screen(text)
        with path.open("a") as file:
            file.write(f"{datetime.now().astimezone().isoformat(timespec='milliseconds')} {text.strip()}\n")

    return say
