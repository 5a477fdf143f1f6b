"""Writes the messages of `limpet up` to the screen and to ``logs/up.log``."""

import os
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import click


def screen(text: str) -> None:
    """Print ``text``; a closed output does not stop the stack."""
    try:
        click.echo(text)
    except BrokenPipeError:
        # The reader of our output has ended (`limpet up | head`): discard further output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def journal(path: Path) -> Callable[[str], None]:
    """Return a function that prints a text and appends it to ``path`` with the time."""

    def say(text: str) -> None:
        screen(text)
        with path.open("a") as file:
            file.write(f"{datetime.now().astimezone().isoformat(timespec='milliseconds')} {text.strip()}\n")

    return say
