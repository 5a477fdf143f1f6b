"""What can go wrong with ``limpet up``, and what its caller sees of it."""

import click


class StartRefusedError(click.ClickException):
    """The stack may not start this way; nothing was started and nothing was changed."""

    exit_code = 4


class StartError(click.ClickException):
    """A part of the stack did not come up; what had been started is stopped again."""

    exit_code = 1


class NotServingError(Exception):
    """A part does not serve at this moment; it may in a while."""
