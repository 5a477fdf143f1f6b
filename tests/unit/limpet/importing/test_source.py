"""The manifest on the client's side: what was hashed is what is read."""

import os
from pathlib import Path

import pytest

from limpet.importing.manifest import RefusedManifestError, manifest_at
from limpet.terminal.exit_codes import REFUSED
from schemas.manifest.reader import ManifestError

HEAD, ROW = b"caseAttachment_Key,case_Key\n", b"1,1\n"


def test_a_manifest_that_is_changed_in_place_is_refused_and_no_further_row_is_read(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_bytes(HEAD + 100_000 * ROW)
    os.utime(path, (0, 0))
    with pytest.raises(RefusedManifestError, match="changed while it was read") as caught:
        _read_while_changing(path)
    assert caught.value.exit_code == REFUSED


def _read_while_changing(path: Path) -> None:
    with manifest_at(str(path), {}) as source:
        found = source.rows()
        assert next(found).fields == {"caseAttachment_Key": 1, "case_Key": 1}
        with path.open("r+b") as file:  # as many bytes, others
            file.seek(-2, os.SEEK_END)
            file.write(b"2\n")
        next(found)


def test_a_change_behind_the_last_row_is_noticed_too(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_bytes(HEAD + ROW)
    with manifest_at(str(path), {}) as source:
        found = source.rows()
        next(found)
        with path.open("ab") as file:
            file.write(ROW)
        with pytest.raises(ManifestError, match="changed while it was read"):
            list(found)
