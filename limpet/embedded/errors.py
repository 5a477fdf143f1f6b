"""Errors of ``limpet up``, with their exit codes."""

import click


class StartRefusedError(click.ClickException):
    """The stack can't start with these options; nothing was started or changed."""

    exit_code = 4


class StartError(click.ClickException):
    """A part of the stack did not start; the parts started before it were stopped."""

    exit_code = 1


class NotServingError(Exception):
    """A part does not serve yet; a later probe may succeed."""
