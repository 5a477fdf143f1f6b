"""The requests of an import; idempotent ones are retried until the server answers."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar
from uuid import UUID

import click
from pydantic import BaseModel

from limpet.http.client import Client, HeldBackError, M, NoAnswerError
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
_FIRST_PAUSE_SECONDS, _MAX_PAUSE_SECONDS = 0.2, 5.0
_NDJSON = {"Content-Type": "application/x-ndjson"}


@dataclass(frozen=True)
class ImportCalls:
    """The requests of imports over one client, each retried for ``patience`` seconds while no answer comes."""

    client: Client
    patience: float

    def open(self, wanted: OpenImport) -> Import:
        """Open or resume an import; a retry with ``restart`` cancels the first one, which has no rows yet."""
        ask = partial(self.client.ask, Import, "POST", "/imports", _json(wanted))
        try:
            return ask()
        except NoAnswerError as fault:
            # The URL may be wrong: the user must see what the command waits for.
            click.echo(f"{fault.message} Waiting for {self.patience:g} s at most.", err=True)
        return self.patiently(ask)

    def places(self, import_id: UUID, contents: Sequence[ContentName]) -> list[ContentPlace]:
        """Return for each content that it is stored, or a place to upload it to."""
        body = _json(ContentQuery(contents=list(contents)))
        return self._ask(ContentAnswer, "POST", f"/imports/{import_id}/contents", body).contents

    def append(self, import_id: UUID, first: int, lines: bytes) -> RowsTaken:
        """Append rows from position ``first`` on; a retry appends nothing twice."""
        return self._ask(RowsTaken, "PUT", f"/imports/{import_id}/rows?from={first}", lines, _NDJSON)

    def check(self, lines: bytes, on_conflict: str, kind: str) -> Checked:
        """Dry-run some rows; change nothing."""
        return self._ask(Checked, "POST", f"/imports/check?onConflict={on_conflict}&kind={kind}", lines, _NDJSON)

    def stored(self, keys: Sequence[int]) -> list[StoredRecord]:
        """Return the records that exist among ``keys``."""
        return self._ask(StoredAnswer, "POST", "/imports/stored", _json(StoredQuery(keys=list(keys)))).records

    def stored_keys(self, after: int) -> list[int]:
        """Return the next keys above ``after``, ascending; none at the end."""
        return self._ask(KeysAnswer, "GET", f"/imports/stored?after={after}").keys

    def close(self, import_id: UUID) -> Import:
        """Close the import: no row follows."""
        return self._ask(Import, "POST", f"/imports/{import_id}/close")

    def get(self, import_id: UUID) -> Import:
        """Return the state of the import."""
        return self._ask(Import, "GET", f"/imports/{import_id}")

    def batch(self, batch_id: UUID, wait: int = 0) -> Batch:
        """Return the state of the batch, at its end or after ``wait`` seconds."""
        return self._ask(Batch, "GET", f"/batches/{batch_id}", headers={"Prefer": f"wait={wait}"} if wait else None)

    def _ask(
        self,
        model: type[M],
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> M:
        return self.patiently(partial(self.client.ask, model, method, path, body, headers))

    def patiently(self, call: Callable[[], T]) -> T:
        """Call ``call`` until an answer comes, and return its result.

        Raises:
            NoAnswerError: no answer came for ``patience`` seconds.

        """
        end, pause = time.monotonic() + self.patience, _FIRST_PAUSE_SECONDS
        while True:
            try:
                return call()
            except HeldBackError:  # backpressure is no failure, so it may last for any time
                end = time.monotonic() + self.patience
            except NoAnswerError:
                if time.monotonic() > end:
                    raise
            time.sleep(pause)
            pause = min(2 * pause, _MAX_PAUSE_SECONDS)


def _json(body: BaseModel) -> bytes:
    return body.model_dump_json(by_alias=True, exclude_defaults=True).encode()
