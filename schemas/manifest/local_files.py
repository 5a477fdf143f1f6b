"""The files that rows of a manifest name: found below a folder, all links followed, and hashed."""

import hashlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from schemas.case_attachment import CaseAttachment
from schemas.file_attachments import FileAction
from schemas.imports import ContentName, ImportKind
from schemas.manifest.reader import Header, ManifestError

MAX_FILE_BYTES = 5 * 2**30  # the limit of one PUT to S3
CHANGED = "changed while it was read; import it again when it is at rest"
TOO_LARGE = f"is larger than {MAX_FILE_BYTES} bytes, the most that one upload takes"


class InvalidFileError(Exception):
    """The file of a row can't be imported; the text says why."""


def path_of(fields: Mapping[str, Any], kind: ImportKind) -> str | None:
    """Return the path that ``fields`` name, None if they name none or delete a file."""
    if kind == "files" and str(fields.get("action") or "").strip().upper().startswith("DELETE"):
        return None
    for name in ("attachment_Path", "filename"):
        value = fields.get(name)
        if isinstance(value, str) and value:
            return value
    return None


def below(folder: Path, path: str) -> Path:
    """Return the file that ``path`` names below ``folder``, a resolved path.

    Raises:
        InvalidFileError: there is no such file, or it is outside ``folder``.

    """
    if "\0" in path:
        raise InvalidFileError("holds U+0000")
    try:
        found = _resolved(folder, path)
    except UnicodeEncodeError as error:
        raise InvalidFileError("is no text that a file can be named by") from error
    except (OSError, RuntimeError) as error:  # a loop of links is a RuntimeError in Python 3.11
        raise InvalidFileError(f"can't be followed: {getattr(error, 'strerror', None) or error}") from error
    if found is None:
        raise InvalidFileError("there is no such file below the folder of the files")
    if not found.is_relative_to(folder):
        raise InvalidFileError("leads out of the folder of the files")
    if not found.is_file():
        raise InvalidFileError("is no file")
    return found


def _resolved(folder: Path, path: str) -> Path | None:
    """Resolve ``path`` as it is written, then with slashes for backslashes; None if neither exists."""
    for spelling in dict.fromkeys((path, path.replace("\\", "/"))):
        try:
            return (folder / spelling).resolve(strict=True)
        except (FileNotFoundError, NotADirectoryError):
            continue
    return None


def with_file_name(fields: Mapping[str, Any], path: str, kind: ImportKind = "case-attachments") -> Mapping[str, Any]:
    """Return ``fields`` with a file name: their own, else the last part of ``path``."""
    name = PurePosixPath(path.replace("\\", "/")).name
    if kind == "case-attachments":
        return fields if fields.get("attachment_File") else {**fields, "attachment_File": name}
    return fields if fields.get("filename") not in (None, "", path) else {**fields, "filename": name}


def digest(file: Path) -> ContentName:
    """Hash ``file`` and return its content address.

    Raises:
        InvalidFileError: it can't be read, is too large for one PUT, or changed while it was read.

    """
    try:
        with file.open("rb") as stream:
            before = os.fstat(stream.fileno())
            if not stat.S_ISREG(before.st_mode):
                raise InvalidFileError("is no file")
            if before.st_size > MAX_FILE_BYTES:
                raise InvalidFileError(TOO_LARGE)
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
            size, after = stream.tell(), os.fstat(stream.fileno())
    except OSError as fault:
        raise InvalidFileError(f"can't be read: {fault.strerror}") from fault
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or size != before.st_size:
        raise InvalidFileError(CHANGED)
    return ContentName(sha256=sha256, size=size)


_REQUIRED_COLUMNS: dict[ImportKind, tuple[str, ...]] = {
    "case-attachments": ("caseAttachment_Key", "case_Key"),
    "files": ("table", "item"),
}


def check_columns(header: Header, kind: ImportKind) -> None:
    """Check that a CSV header has the columns that every row needs. NDJSON has no header to check.

    Raises:
        ManifestError: a column is missing.

    """
    if header.format == "ndjson":
        return
    if missing := [name for name in _REQUIRED_COLUMNS[kind] if name not in header.columns]:
        raise ManifestError(
            f"the header has no column {' and no '.join(missing)}: it has {', '.join(header.written)} "
            "(--map old=new, or columns of POST /imports, read one under another name)"
        )


def known_columns(kind: ImportKind) -> set[str]:
    """Return the column names that an import reads; it ignores all other columns."""
    item = FileAction if kind == "files" else CaseAttachment
    return {*_REQUIRED_COLUMNS[kind], "attachment_Path", "filename", *item.model_json_schema()["properties"]}
