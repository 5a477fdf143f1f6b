"""Rows that the servers read themselves, with the contents of their files."""

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, TypeVar

from schemas.imports import ImportKind, ImportRow
from schemas.manifest.local_files import InvalidFileError
from schemas.manifest.parts import file_path, row_members
from schemas.manifest.reader import Row
from worker.blobs.lifecycle import StoredContent, intend
from worker.database import transaction
from worker.imports.contents import find_blobs, named
from worker.imports.rows import ImportOptions
from worker.imports.sources import Tree

T = TypeVar("T")
_READERS = 4
_GROUP = 4 * _READERS  # rows; what one group brings must be done before a task's time limit
_LONGEST = 10.0  # seconds after which no further group is begun
_PULSE = 5.0  # seconds
FileContent = StoredContent | InvalidFileError | None


def read_import_rows(
    rule: ImportOptions, tree: Tree | None, sent: Sequence[Row], pulse: Callable[[], None]
) -> list[ImportRow]:
    """Return rows as they are appended, their contents stored; a file that can't be had is its row's flaw.

    With files it may be the first rows of ``sent`` only: so many as some seconds allow. ``pulse`` is called every few
    seconds meanwhile.
    """
    if tree is None:
        return [_import_row(row, rule.kind) for row in sent]
    found: list[ImportRow] = []
    end = time.monotonic() + _LONGEST
    with ThreadPoolExecutor(_READERS) as pool:
        readers = Readers(pool, pulse)
        while len(found) < len(sent) and time.monotonic() < end:
            group = sent[len(found) : len(found) + _GROUP]
            paths = [file_path(row, rule.kind) for row in group]
            looked = readers.each(lambda path: _looked(tree, path), paths)
            contents = _brought(rule.database, tree, readers, list(zip(paths, looked, strict=True)))
            files = zip(group, paths, contents, strict=True)
            found += [_import_row(row, rule.kind, path, content) for row, path, content in files]
    return found


@dataclass(frozen=True, slots=True)
class Readers:
    """Threads that read files, and the sign of life while they do."""

    pool: ThreadPoolExecutor
    pulse: Callable[[], None]

    def each(self, work: Callable[..., T], *arguments: Iterable[Any]) -> list[T]:
        """Return what ``work`` returns for each of the arguments, in their order."""
        futures = [self.pool.submit(work, *one) for one in zip(*arguments, strict=True)]
        while wait(futures, timeout=_PULSE).not_done:
            self.pulse()
        return [future.result() for future in futures]


def _looked(tree: Tree, path: str | None) -> FileContent:
    try:
        return tree.look(path) if path is not None else None
    except InvalidFileError as invalid:
        return invalid


def _brought(
    database: str, tree: Tree, readers: Readers, looked: Sequence[tuple[str | None, FileContent]]
) -> list[FileContent]:
    """Return where each content is by now: among the blobs, or under an intended key."""
    paths = {(c.sha256, c.size): path or "" for path, c in looked if isinstance(c, StoredContent)}
    with transaction(database) as session:
        known = find_blobs(session, paths)
    fresh = {name: path for name, path in paths.items() if name not in known}
    keys = intend(database, len(fresh)) if fresh else []

    def bring(name: tuple[bytes, int], path: str, key: str) -> FileContent:
        try:
            return tree.bring(path, StoredContent("", *name), key)
        except InvalidFileError as invalid:
            return invalid

    stored = dict(zip(fresh, readers.each(bring, fresh, fresh.values(), keys), strict=True))
    return [stored.get((c.sha256, c.size), c) if isinstance(c, StoredContent) else c for _, c in looked]


def _import_row(row: Row, kind: ImportKind, path: str | None = None, content: FileContent = None) -> ImportRow:
    named_content = named(content) if isinstance(content, StoredContent) else content
    return ImportRow.model_validate(row_members(row, kind, path, named_content))
