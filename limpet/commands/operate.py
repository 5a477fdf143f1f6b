"""Operator commands on a server's host: migrate, token, keys and users."""

import sys
import unicodedata
from datetime import timedelta

import click
from sqlalchemy.exc import OperationalError

from api_stub.auth import credentials
from worker.blobs.s3 import make_bucket
from worker.errors import StoreUnavailableError
from worker.log import summarize_fault
from worker.migrate import migrate as migrate_database
from worker.settings import settings


@click.command()
def migrate() -> None:
    """Bring every database of LIMPET_DATABASES to this version's schema, and make the bucket."""
    try:
        for database in known_databases(()):
            click.echo(f"{database}: at {migrate_database(database)}")
        make_bucket()
    except (StoreUnavailableError, OperationalError) as fault:
        raise click.ClickException(summarize_fault(fault)) from fault
    click.echo(f"bucket {settings().s3_bucket}: there")


def known_databases(names: tuple[str, ...]) -> list[str]:
    """Return ``names`` if all are configured; without names, all configured databases."""
    if not settings().databases:
        raise click.ClickException(
            "LIMPET_DATABASES is not set. 'limpet up' writes all that the servers need to server.env: "
            "set -a; source .limpet/server.env; set +a"
        )
    unknown = sorted(set(names) - set(settings().databases))
    if unknown:
        raise click.ClickException(
            f"no database {unknown[0]!r} in LIMPET_DATABASES ({', '.join(settings().databases)})"
        )
    return list(names or settings().databases)


@click.command()
@click.argument("subject")
@click.option("--database", "databases", multiple=True, required=True, help="A database it may use; repeatable.")
@click.option("--hours", default=8.0, show_default=True, help="How long it is valid.")
def token(subject: str, databases: tuple[str, ...], hours: float) -> None:
    """Print a bearer token for SUBJECT, signed with LIMPET_JWT_SECRET."""
    secret = settings().jwt_secret.get_secret_value()
    if len(secret.encode()) < 32:  # noqa: PLR2004  RFC 7518 §3.2: as long as the hash
        raise click.ClickException("LIMPET_JWT_SECRET must be set, to at least 32 bytes")
    click.echo(credentials.make_token(secret, subject, known_databases(databases), timedelta(hours=hours)))


@click.group()
def keys() -> None:
    """Make, list and remove API keys in the file LIMPET_CREDENTIALS."""


@keys.command()
@click.argument("name")
@click.option("--database", "databases", multiple=True, required=True, help="A database it may use; repeatable.")
def add(name: str, databases: tuple[str, ...]) -> None:
    """Print a new API key for NAME, which replaces the one it had. It is shown this once."""
    click.echo(credentials.add_api_key(settings().credentials, name, known_databases(databases)))


@keys.command("list")
def list_keys() -> None:
    """List who has a key, and for which databases."""
    for key in credentials.read_credentials(settings().credentials).api_keys:
        click.echo(f"{key.name}: {', '.join(key.databases)}")


@keys.command()
@click.argument("name")
def remove(name: str) -> None:
    """Forget the API key of NAME; it stops working at once."""
    if not credentials.remove_api_key(settings().credentials, name):
        raise click.ClickException(f"{name!r} has no key")


_MIN_PASSWORD_LENGTH = 8  # NIST SP 800-63B


@click.group()
def users() -> None:
    """Make, list and remove users with passwords in the file LIMPET_CREDENTIALS."""


@users.command("add")
@click.argument("name")
@click.option("--database", "databases", multiple=True, required=True, help="A database it may use; repeatable.")
@click.option("--default", help="The one of them for requests that name none.  [default: the first]")
def add_user(name: str, databases: tuple[str, ...], default: str | None) -> None:
    """Let NAME in by a password, which is asked for, or read as one line if standard input is no terminal."""
    if ":" in name or not name or any(unicodedata.category(c) == "Cc" for c in name):
        raise click.ClickException("a user's name has at least one character, no colon and no control character")
    if default is not None and default not in databases:
        raise click.ClickException(f"the default {default!r} is none of its databases")
    known = known_databases(databases)
    password = _read_password()
    credentials.add_user(
        settings().credentials, name, password, sorted(dict.fromkeys(known), key=lambda d: d != (default or known[0]))
    )


@users.command("list")
def list_users() -> None:
    """List the users, and their databases, the default first."""
    for user in credentials.read_credentials(settings().credentials).users:
        click.echo(f"{user.name}: {', '.join(user.databases)}")


@users.command("remove")
@click.argument("name")
def remove_user(name: str) -> None:
    """Forget NAME, whose password stops working at once."""
    if not credentials.remove_user(settings().credentials, name):
        raise click.ClickException(f"there is no user {name!r}")


def _read_password() -> str:
    """Read the password; never from the command line, which every user of the machine can read."""
    if sys.stdin.isatty():
        password: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if len(password) < _MIN_PASSWORD_LENGTH:
        raise click.ClickException(f"a password has at least {_MIN_PASSWORD_LENGTH} characters")
    return password
