"""Rows that the servers read themselves, with the contents of their files."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from schemas.imports import ImportKind, ImportRow, RowFlaw
from schemas.manifest import Row
from schemas.manifest_files import FileFlawError, path_of, with_file_name
from worker.blobs import intend
from worker.database import transaction
from worker.import_contents import find, named
from worker.import_rows import Rule
from worker.import_sources import Tree
from worker.stored import Stored

_READERS = 4
Content = Stored | FileFlawError | None


def import_rows(rule: Rule, tree: Tree | None, sent: Sequence[Row]) -> list[ImportRow]:
    """Return rows as they are appended, their contents stored; a file that can't be had is its row's flaw."""
    if tree is None:
        return [_import_row(row) for row in sent]
    with ThreadPoolExecutor(_READERS) as pool:
        looked = list(pool.map(lambda row: _looked(tree, row), sent))
        stored = _brought(rule.database, tree, pool, list(zip(sent, looked, strict=True)))
    return [_import_row(row, content, rule.kind) for row, content in zip(sent, stored, strict=True)]


def _looked(tree: Tree, row: Row) -> Content:
    path = path_of(row.fields) if row.flaw is None else None
    if path is None:
        return None
    try:
        return tree.look(path)
    except FileFlawError as flaw:
        return flaw


def _brought(
    database: str, tree: Tree, pool: ThreadPoolExecutor, pairs: Sequence[tuple[Row, Content]]
) -> list[Content]:
    """Return where each content is by now: among the blobs, or under an intended key."""
    with transaction(database) as session:
        known = find(session, [(c.sha256, c.size) for _, c in pairs if isinstance(c, Stored)])
    fresh = {
        (c.sha256, c.size): path_of(row.fields) or ""
        for row, c in pairs
        if isinstance(c, Stored) and (c.sha256, c.size) not in known
    }
    keys = intend(database, len(fresh)) if fresh else []

    def bring(name: tuple[bytes, int], path: str, key: str) -> Content:
        try:
            return tree.bring(path, Stored("", *name), key)
        except FileFlawError as flaw:
            return flaw

    ends = dict(zip(fresh, pool.map(bring, fresh, fresh.values(), keys), strict=True))
    return [ends.get((c.sha256, c.size), c) if isinstance(c, Stored) else c for _, c in pairs]


def _import_row(row: Row, content: Content = None, kind: ImportKind = "case-attachments") -> ImportRow:
    if row.flaw is not None:
        return ImportRow(line=row.line, item=dict(row.fields), flaw=RowFlaw(message=row.flaw, status=400))
    if isinstance(content, FileFlawError):
        flaw = RowFlaw(field="attachment_Path", message=str(content))
        return ImportRow(line=row.line, item=dict(row.fields), flaw=flaw)
    if content is None:
        return ImportRow(line=row.line, item=dict(row.fields))
    item = dict(with_file_name(row.fields, path_of(row.fields) or "", kind))
    return ImportRow(line=row.line, item=item, content=named(content))
