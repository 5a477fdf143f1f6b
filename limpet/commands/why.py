"""``limpet why``: show the attempts at one item, and what it waits for."""

from collections.abc import Iterator
from uuid import UUID

import click

from limpet.commands.options import database_option
from limpet.http.client import client_of
from schemas.answers import ItemDetail


@click.command()
@click.argument("batch", type=click.UUID)
@click.argument("position", type=click.IntRange(min=0))
@database_option
@click.option("--json", "as_json", is_flag=True, help="One line of JSON on standard output.")
def why(batch: UUID, position: int, database: str | None, *, as_json: bool) -> None:
    """Tell why an item is as it is: each attempt at it, and what it waits for."""
    with client_of(database) as client:
        item = client.ask(ItemDetail, "GET", f"/batches/{batch}/items/{position}")
    if as_json:
        click.echo(item.model_dump_json(by_alias=True))
        return
    for line in _lines(item):
        click.echo(line)


def _lines(item: ItemDetail) -> Iterator[str]:
    name = ", ".join(f"{part.key} {part.value}" for part in item.id)
    yield f"{item.kind} of {name}, accepted {item.accepted_at:%Y-%m-%d %H:%M:%S %Z}"
    yield f"{item.outcome} ({item.status}): {item.body}{_retry_note(item)}"
    for error in item.errors or ():
        yield f"  {error.field}: {error.message}"
    if item.waits_for:
        yield f"waits for {item.waits_for}"
    if item.deaths:
        yield f"workers that died while it ran alone: {item.deaths}"
    yield "attempts:" if item.attempts else "no attempt yet"
    for attempt in item.attempts:
        yield f"  {attempt.at:%Y-%m-%d %H:%M:%S %Z}  {attempt.worker}  {attempt.error or _without_error(item)}"


def _retry_note(item: ItemDetail) -> str:
    if again := item.retried_as:
        return f" [retried as position {again.position} of batch {again.batch}: {again.outcome}]"
    return "" if item.retry == "never" else f" [retry: {item.retry}]"


def _without_error(item: ItemDetail) -> str:
    return "under way" if item.outcome == "pending" else item.outcome
