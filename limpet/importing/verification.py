"""``limpet verify``: compare the manifest and its files with the stored records, by hash."""

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from limpet.http.imports import ImportCalls
from limpet.importing.failed_rows import Ending, Writer, report_file
from limpet.importing.sending import PART_LIMITS
from limpet.importing.source import Source
from schemas.case_attachment import CaseAttachment
from schemas.imports import ContentName, StoredRecord
from schemas.manifest.local_files import InvalidFileError, below, digest, path_of, with_file_name
from schemas.manifest.parts import file_path, parts
from schemas.manifest.reader import Row

_KEY_FIELD = "caseAttachment_Key"
_MAX_READERS = 4


@dataclass
class Verification:
    """A comparison; ``counts`` has the equal, missing, different, extra and keyless rows."""

    calls: ImportCalls
    source: Source
    folder: Path | None
    extra: bool
    counts: Counter[str] = field(default_factory=Counter)

    def run(self, out: Path | None) -> dict[str, int]:
        """Compare all rows, then look for records that no row names; write all differences to ``out``."""
        keys, remaining = self._keys()
        with report_file(out, self.source.header) as write, ThreadPoolExecutor(_MAX_READERS) as pool:
            for part in parts(self.source.rows(), 0, PART_LIMITS):
                # Of several rows with one key, the last one decides what is stored.
                rows = [row for row in part.rows if _is_last(row, remaining)]
                hashes = pool.map(self._hash_file, rows)
                self._compare(list(zip(rows, hashes, strict=True)), write)
            if self.extra:
                for key in self._extra_keys(keys):
                    self._write("extra", None, f"{_KEY_FIELD} {key} is in no row of the manifest", write, key)
        return dict(self.counts)

    def _keys(self) -> "tuple[array[int], dict[int, int]]":
        """Return all keys, sorted, and the counts of those that occur more than once."""
        found = array("i", sorted(key for row in self.source.rows() if (key := _key(row))))
        repeated = Counter(a for a, b in pairwise(found) if a == b)
        return found, {key: count + 1 for key, count in repeated.items()}

    def _hash_file(self, row: Row) -> ContentName | InvalidFileError | None:
        path = file_path(row, "case-attachments") if self.folder else None
        if path is None or self.folder is None:
            return None
        try:
            return digest(below(self.folder, path))
        except InvalidFileError as invalid:
            return invalid

    def _compare(self, hashed: "list[tuple[Row, ContentName | InvalidFileError | None]]", write: Writer) -> None:
        keys = [key for row, _ in hashed if (key := _key(row))]
        stored = {record.key: record for record in self.calls.stored(keys)} if keys else {}
        for row, content in hashed:
            key = _key(row)
            if row.flaw is not None or isinstance(content, InvalidFileError):
                self._write("different", row, row.flaw or f"its file {content}", write)
            elif key is None:
                self._write("keyless", row, f"without a {_KEY_FIELD} it can't be found", write)
            elif key not in stored:
                self._write("missing", row, f"no record {key}", write)
            elif differences := list(_differences(row, content, stored[key])):
                self._write("different", row, "; ".join(differences), write)
            else:
                self.counts["equal"] += 1

    def _write(self, verdict: str, row: Row | None, reason: str, write: Writer, key: int = 0) -> None:
        self.counts[verdict] += 1
        write(row or _extra_row(self.source, key), Ending(0, verdict, reason))

    def _extra_keys(self, keys: "array[int]") -> Iterator[int]:
        after = 0
        while page := self.calls.stored_keys(after):
            for key in page:
                index = bisect_left(keys, key)
                if index == len(keys) or keys[index] != key:
                    yield key
            after = page[-1]


def _extra_row(source: Source, key: int) -> Row:
    cells = [str(key) if name == _KEY_FIELD else "" for name in source.header.columns]
    return Row(0, 0, f'{{"{_KEY_FIELD}": {key}}}'.encode(), {_KEY_FIELD: key}, cells)


def _key(row: Row) -> int | None:
    key = row.fields.get(_KEY_FIELD)
    return key if type(key) is int and 0 < key < 2**31 and row.flaw is None else None


def _is_last(row: Row, remaining: dict[int, int]) -> bool:
    key = _key(row)
    if key is None or key not in remaining:
        return True
    remaining[key] -= 1
    return remaining[key] == 0


def _differences(row: Row, content: ContentName | InvalidFileError | None, stored: StoredRecord) -> Iterator[str]:
    path = path_of(row.fields, "case-attachments")
    fields: Mapping[str, Any] = with_file_name(row.fields, path) if content and path else row.fields
    try:
        sent, kept = map(_validate, (fields, {**stored.fields, _KEY_FIELD: 0}))
    except ValidationError as invalid:
        yield "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in invalid.errors())
        return
    for name, info in CaseAttachment.model_fields.items():
        value = getattr(sent, name)
        # Null clears all but users and dates; what is left out keeps.
        means = value is not None or (name in sent.model_fields_set and not name.startswith(("entry_", "update_")))
        if name not in ("case_attachment_key", "attachment") and means and value != getattr(kept, name):
            yield f"{info.alias or name} is {getattr(kept, name)!s}, and {value!s} in the manifest"
    if isinstance(content, ContentName) and (content.sha256, content.size) != (stored.sha256, stored.size):
        yield f"the content is {stored.sha256 or 'none'}, and {content.sha256} in the file"


def _validate(fields: Mapping[str, Any]) -> CaseAttachment:
    return CaseAttachment.model_validate(fields, by_alias=True, by_name=False)
