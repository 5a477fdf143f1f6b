"""Output and checks that the demo's steps share."""

import click


class UnexpectedError(click.ClickException):
    """A result differs from the expected one; the text shows both."""


def expect(what: str, found: object, wanted: object) -> None:
    """Check that ``found`` equals ``wanted``.

    Raises:
        UnexpectedError: they differ.

    """
    if found != wanted:
        raise UnexpectedError(f"not as it should be: {what}: {found!r} instead of {wanted!r}")


def say(number: int, text: str) -> None:
    """Print the headline of step ``number``."""
    click.secho(f"{'' if number == 1 else chr(10)}{number}. {text}", bold=True)


def tell(text: str) -> None:
    """Print a result."""
    click.echo(f"   {text}")
