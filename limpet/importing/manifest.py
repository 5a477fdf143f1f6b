"""Open the manifest that a command names, and check its header."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

import click

from limpet.http.client import ClientError
from limpet.importing.failed_rows import own_columns
from limpet.importing.source import Source, open_source
from limpet.terminal.exit_codes import REFUSED
from schemas.imports import CLEARABLE, EmptyCells, ImportKind
from schemas.manifest.local_files import check_columns, known_columns
from schemas.manifest.reader import Header, ManifestError


class RefusedManifestError(ClientError):
    """The manifest can't be imported as it is."""

    exit_code = REFUSED


@contextmanager
def manifest_at(
    manifest: str,
    mapping: Mapping[str, str],
    kind: ImportKind = "case-attachments",
    empty: EmptyCells = "keep",
) -> Iterator[Source]:
    """Open the manifest and check its header; print the columns that an import ignores to standard error.

    An ignored column may be a misspelled one.

    Raises:
        RefusedManifestError: the manifest can't be read, or its header lacks a column.

    """
    try:
        with ExitStack() as stack:
            try:
                source = stack.enter_context(open_source(manifest, mapping, CLEARABLE if empty == "clear" else ()))
                check_columns(source.header, kind)
            except OSError as fault:
                raise ManifestError(f"{fault}") from fault
            if ignored := _ignored(source.header, kind):
                click.echo(f"{manifest}: columns that are ignored: {', '.join(ignored)}", err=True)
            yield source
    except ManifestError as error:
        raise RefusedManifestError(f"{manifest}: {error}") from error


def _ignored(header: Header, kind: ImportKind) -> list[str]:
    """Return the columns that an import ignores, each with a known column that differs by case only."""
    known = known_columns(kind)
    meant = {name.lower(): f" ({name}?)" for name in known.difference(header.columns)}
    own, _ = own_columns(header.written)
    found = zip(own, header.columns, strict=False)  # an earlier report added the last ones
    return [f"{written!r}{meant.get(name.lower(), '')}" for written, name in found if name not in known]
