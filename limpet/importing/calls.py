"""What an import says to the server. What can be said twice without harm is said until it is heard."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

import click
import httpx

from limpet.client import Client, HeldBackError, NoAnswerError, RefusedError
from schemas.answers import Batch
from schemas.imports import (
    Checked,
    ContentAnswer,
    ContentName,
    ContentPlace,
    ContentQuery,
    Import,
    KeysAnswer,
    OpenImport,
    RowsTaken,
    StoredAnswer,
    StoredQuery,
    StoredRecord,
)

T = TypeVar("T")
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0
_NDJSON = {"Content-Type": "application/x-ndjson"}


@dataclass(frozen=True)
class Calls:
    """The calls of imports, over one client; each is repeated for ``patience`` seconds while no answer comes."""

    client: Client
    patience: float

    def open(self, wanted: OpenImport) -> Import:
        """Open an import, or find it again; twice with ``restart``, the first one is cancelled before it has rows."""
        body = wanted.model_dump_json(by_alias=True, exclude_defaults=True).encode()

        def ask() -> Import:
            with self.client.opened("POST", "/imports", body) as response:
                return Import.model_validate_json(response.read())

        try:
            return ask()
        except NoAnswerError as fault:
            # The address may be wrong: whoever waits is to know for what.
            click.echo(f"{fault.message} Waiting for {self.patience:g} s at most.", err=True)
        return self.patiently(ask)

    def places(self, import_id: UUID, contents: Sequence[ContentName]) -> list[ContentPlace]:
        """Return for each content whether it is stored, or where it may go."""
        body = ContentQuery(contents=list(contents)).model_dump_json().encode()

        def ask() -> list[ContentPlace]:
            with self.client.opened("POST", f"/imports/{import_id}/contents", body) as response:
                return ContentAnswer.model_validate_json(response.read()).contents

        return self.patiently(ask)

    def append(self, import_id: UUID, first: int, lines: bytes) -> RowsTaken:
        """Append a part; again, it is passed by."""

        def send() -> RowsTaken:
            path = f"/imports/{import_id}/rows?from={first}"
            with self.client.opened("PUT", path, lines, _NDJSON) as response:
                return RowsTaken.model_validate_json(response.read())

        return self.patiently(send)

    def check(self, lines: bytes, on_conflict: str, kind: str) -> Checked:
        """Ask what would become of rows."""

        def ask() -> Checked:
            path = f"/imports/check?onConflict={on_conflict}&kind={kind}"
            with self.client.opened("POST", path, lines, _NDJSON) as response:
                return Checked.model_validate_json(response.read())

        return self.patiently(ask)

    def stored(self, keys: Sequence[int]) -> list[StoredRecord]:
        """Return the records that exist among ``keys``."""
        body = StoredQuery(keys=list(keys)).model_dump_json().encode()

        def ask() -> list[StoredRecord]:
            with self.client.opened("POST", "/imports/stored", body) as response:
                return StoredAnswer.model_validate_json(response.read()).records

        return self.patiently(ask)

    def stored_keys(self, after: int) -> list[int]:
        """Return the next keys of all records, in order; none at the end."""

        def ask() -> list[int]:
            with self.client.opened("GET", f"/imports/stored?after={after}") as response:
                return KeysAnswer.model_validate_json(response.read()).keys

        return self.patiently(ask)

    def close(self, import_id: UUID) -> Import:
        """Say that no row follows."""
        return self.patiently(lambda: self._import("POST", f"/imports/{import_id}/close"))

    def get(self, import_id: UUID) -> Import:
        """Return how far the import is."""
        return self.patiently(lambda: self._import("GET", f"/imports/{import_id}"))

    def error(self, batch_id: UUID) -> str | None:
        """Return why an import ended before its manifest did; None if it did not, or the batch is of no import."""
        try:
            return self.get(batch_id).error
        except RefusedError as refusal:
            if refusal.status != httpx.codes.NOT_FOUND:
                raise
            return None

    def batch(self, batch_id: UUID, wait: int = 0) -> Batch:
        """Return how its batch stands, held for ``wait`` seconds unless it ends before."""

        def ask() -> Batch:
            headers = {"Prefer": f"wait={wait}"} if wait else {}
            with self.client.opened("GET", f"/batches/{batch_id}", headers=headers) as response:
                return Batch.model_validate_json(response.read())

        return self.patiently(ask)

    def _import(self, method: str, path: str) -> Import:
        with self.client.opened(method, path) as response:
            return Import.model_validate_json(response.read())

    def patiently(self, call: Callable[[], T]) -> T:
        """Return what ``call`` returns, repeated while no answer comes.

        Raises:
            NoAnswerError: none came for too long.

        """
        end, pause = time.monotonic() + self.patience, _FIRST_PAUSE
        while True:
            try:
                return call()
            except HeldBackError:  # however long: that is no sign of trouble
                end = time.monotonic() + self.patience
            except NoAnswerError:
                if time.monotonic() > end:
                    raise
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
