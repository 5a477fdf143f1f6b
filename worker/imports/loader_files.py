"""Rows that the servers read themselves, with the contents of their files."""

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, TypeVar

from schemas.imports import ImportKind, ImportRow, InvalidRow
from schemas.manifest.local_files import InvalidFileError, path_of, with_file_name
from schemas.manifest.reader import Row
from worker.blobs.lifecycle import StoredContent, find_blobs, intend
from worker.database import transaction
from worker.imports.contents import named
from worker.imports.rows import ImportOptions
from worker.imports.sources import Tree

T = TypeVar("T")
_READERS = 4
_GROUP = 4 * _READERS  # rows; what one group brings must be done before a task's time limit
_LONGEST = 10.0  # seconds after which no further group is begun
_PULSE = 5.0  # seconds
RowContentState = StoredContent | InvalidFileError | None


def read_import_rows(
    rule: ImportOptions, tree: Tree | None, sent: Sequence[Row], pulse: Callable[[], None]
) -> list[ImportRow]:
    """Return rows as they are appended, their contents stored; a file that can't be had is its row's flaw.

    With files it may be the first rows of ``sent`` only: so many as some seconds allow. ``pulse`` is called every few
    seconds meanwhile.
    """
    if tree is None:
        return [_import_row(row) for row in sent]
    found: list[ImportRow] = []
    end = time.monotonic() + _LONGEST
    with ThreadPoolExecutor(_READERS) as pool:
        readers = Readers(pool, pulse)
        while len(found) < len(sent) and time.monotonic() < end:
            some = sent[len(found) : len(found) + _GROUP]
            looked = readers.each(lambda row: _looked(tree, row, rule.kind), some)
            stored = _brought(rule, tree, readers, list(zip(some, looked, strict=True)))
            found += [_import_row(row, content, rule.kind) for row, content in zip(some, stored, strict=True)]
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


def _looked(tree: Tree, row: Row, kind: ImportKind) -> RowContentState:
    path = path_of(row.fields, kind) if row.flaw is None else None
    if path is None:
        return None
    try:
        return tree.look(path)
    except InvalidFileError as flaw:
        return flaw


def _brought(
    rule: ImportOptions, tree: Tree, readers: Readers, pairs: Sequence[tuple[Row, RowContentState]]
) -> list[RowContentState]:
    """Return where each content is by now: among the blobs, or under an intended key."""
    with transaction(rule.database) as session:
        known = find_blobs(session, [(c.sha256, c.size) for _, c in pairs if isinstance(c, StoredContent)])
    fresh = {
        (c.sha256, c.size): path_of(row.fields, rule.kind) or ""
        for row, c in pairs
        if isinstance(c, StoredContent) and (c.sha256, c.size) not in known
    }
    keys = intend(rule.database, len(fresh)) if fresh else []

    def bring(name: tuple[bytes, int], path: str, key: str) -> RowContentState:
        try:
            return tree.bring(path, StoredContent("", *name), key)
        except InvalidFileError as flaw:
            return flaw

    ends = dict(zip(fresh, readers.each(bring, fresh, fresh.values(), keys), strict=True))
    return [ends.get((c.sha256, c.size), c) if isinstance(c, StoredContent) else c for _, c in pairs]


def _import_row(row: Row, content: RowContentState = None, kind: ImportKind = "case-attachments") -> ImportRow:
    if row.flaw is not None:
        return ImportRow(line=row.line, item=dict(row.fields), flaw=InvalidRow(message=row.flaw, status=400))
    if isinstance(content, InvalidFileError):
        flaw = InvalidRow(field="attachment_Path", message=str(content))
        return ImportRow(line=row.line, item=dict(row.fields), flaw=flaw)
    if content is None:
        return ImportRow(line=row.line, item=dict(row.fields))
    item = dict(with_file_name(row.fields, path_of(row.fields, kind) or "", kind))
    return ImportRow(line=row.line, item=item, content=named(content))
