"""Read the files that rows of a manifest name, and store their contents."""

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, TypeVar

from schemas.imports import ImportKind, ImportRow
from schemas.manifest.local_files import InvalidFileError
from schemas.manifest.parts import file_path, row_members
from schemas.manifest.reader import Row
from worker.blobs.lifecycle import StoredContent, find_blobs, intend
from worker.database import transaction
from worker.imports.contents import to_row_content
from worker.imports.rows import ImportOptions
from worker.imports.sources import Tree

T = TypeVar("T")
_MAX_READERS = 4
_GROUP_ROWS = 4 * _MAX_READERS  # what one group brings must be done before a task's time limit
_MAX_READ_SECONDS = 10.0  # no group begins later
_RENEW_PERIOD_SECONDS = 5.0
FileContent = StoredContent | InvalidFileError | None


def read_import_rows(
    options: ImportOptions, tree: Tree | None, rows: Sequence[Row], renew_lease: Callable[[], None]
) -> list[ImportRow]:
    """Store the contents of ``rows`` and return the rows to append; a row whose file can't be read is invalid.

    With files, these may be only the first of ``rows``, as many as `_MAX_READ_SECONDS` allows. Reading calls
    ``renew_lease`` every few seconds.
    """
    if tree is None:
        return [_import_row(row, options.kind) for row in rows]
    found: list[ImportRow] = []
    end = time.monotonic() + _MAX_READ_SECONDS
    with ThreadPoolExecutor(_MAX_READERS) as pool:
        readers = Readers(pool, renew_lease)
        while len(found) < len(rows) and time.monotonic() < end:
            group = rows[len(found) : len(found) + _GROUP_ROWS]
            paths = [file_path(row, options.kind) for row in group]
            inspected = readers.map(lambda path: _inspect(tree, path), paths)
            contents = _store_contents(options.database, tree, readers, list(zip(paths, inspected, strict=True)))
            files = zip(group, paths, contents, strict=True)
            found += [_import_row(row, options.kind, path, content) for row, path, content in files]
    return found


@dataclass(frozen=True, slots=True)
class Readers:
    """Threads that read files; the caller renews its lease meanwhile."""

    pool: ThreadPoolExecutor
    renew_lease: Callable[[], None]

    def map(self, work: Callable[..., T], *arguments: Iterable[Any]) -> list[T]:
        """Return the results of ``work`` for each of the arguments, in their order."""
        futures = [self.pool.submit(work, *one) for one in zip(*arguments, strict=True)]
        while wait(futures, timeout=_RENEW_PERIOD_SECONDS).not_done:
            self.renew_lease()
        return [future.result() for future in futures]


def _inspect(tree: Tree, path: str | None) -> FileContent:
    try:
        return tree.inspect(path) if path is not None else None
    except InvalidFileError as invalid:
        return invalid


def _store_contents(
    database: str, tree: Tree, readers: Readers, inspected: Sequence[tuple[str | None, FileContent]]
) -> list[FileContent]:
    """Store the contents that are no blobs yet under intended keys; return where each content is."""
    paths = {c.address: path or "" for path, c in inspected if isinstance(c, StoredContent)}
    with transaction(database) as session:
        known = find_blobs(session, paths)
    fresh = {name: path for name, path in paths.items() if name not in known}
    keys = intend(database, len(fresh)) if fresh else []

    def store(name: tuple[bytes, int], path: str, key: str) -> FileContent:
        try:
            return tree.store(path, StoredContent("", *name), key)
        except InvalidFileError as invalid:
            return invalid

    stored = dict(zip(fresh, readers.map(store, fresh, fresh.values(), keys), strict=True))
    return [stored.get(c.address, c) if isinstance(c, StoredContent) else c for _, c in inspected]


def _import_row(row: Row, kind: ImportKind, path: str | None = None, content: FileContent = None) -> ImportRow:
    brought = to_row_content(content) if isinstance(content, StoredContent) else content
    return ImportRow.model_validate(row_members(row, kind, path, brought))
