"""What the demo's steps share: how they speak, and how they hold what they find against what must be."""

import click


class UnexpectedError(click.ClickException):
    """Something is not as it should be; the text says what, and what was expected."""


def expect(what: str, found: object, wanted: object) -> None:
    """Go on if ``found`` is ``wanted``.

    Raises:
        UnexpectedError: it is not.

    """
    if found != wanted:
        raise UnexpectedError(f"not as it should be: {what}: {found!r} instead of {wanted!r}")


def say(number: int, text: str) -> None:
    """Begin step ``number``."""
    click.secho(f"{'' if number == 1 else chr(10)}{number}. {text}", bold=True)


def tell(text: str) -> None:
    """Say what was found."""
    click.echo(f"   {text}")
