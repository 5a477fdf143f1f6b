"""Where the report of an import goes: never over the manifest, whole or not at all."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from limpet.commands.import_manifest import import_command
from limpet.commands.verify import verify
from limpet.http.client import ClientError
from limpet.importing.failed_rows import Ending, check_report, report_file, write_report
from limpet.importing.manifest import RefusedManifestError, manifest_at

TEXT = b"caseAttachment_Key,case_Key,comment\n1,1,a\n"
# A server that is asked nothing.
SERVER = {"LIMPET_URL": "http://127.0.0.1:1", "LIMPET_DATABASE": "demo", "LIMPET_API_KEY": "key"}


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "m.csv"
    path.write_bytes(TEXT)
    return path


@pytest.mark.parametrize("spelling", ["m.csv", "other/../m.csv", "link", "hard", "other/m.csv"])
@pytest.mark.parametrize("command", [["import"], ["import", "--dry-run"], ["verify"]])
def test_a_report_over_the_manifest_is_refused_before_anything_is_read(
    manifest: Path, command: Sequence[str], spelling: str
) -> None:
    folder = manifest.parent
    (folder / "link").symlink_to(manifest)
    (folder / "hard").hardlink_to(manifest)
    (folder / "other").mkdir()
    (folder / "other" / "m.csv").symlink_to(manifest)
    asked = [str(manifest), "--report", str(folder / spelling), *command[1:]]
    told = CliRunner().invoke({"import": import_command, "verify": verify}[command[0]], asked, env=SERVER)
    assert (told.exit_code, "is the manifest itself" in told.output) == (2, True)
    assert manifest.read_bytes() == TEXT


def test_a_report_that_can_not_be_written_is_refused_before_anything_is_sent(manifest: Path) -> None:
    out = manifest.parent / "none" / "failed.csv"
    told = CliRunner().invoke(import_command, [str(manifest), "--report", str(out)], env=SERVER)
    assert (told.exit_code, "can't be written: No such file" in told.output) == (2, True)


def test_a_look_whether_a_report_can_be_written_leaves_nothing_behind(manifest: Path) -> None:
    check_report(manifest.parent / "failed.csv", str(manifest))
    assert list(manifest.parent.iterdir()) == [manifest]


def test_a_report_that_breaks_off_leaves_the_one_before_as_it_was(manifest: Path) -> None:
    out = manifest.parent / "failed.csv"
    out.write_text("from last week")
    out.chmod(0o600)
    with manifest_at(str(manifest), {}) as source:
        (row,) = source.rows()
        with pytest.raises(ZeroDivisionError), report_file(out, source.header) as write:
            write(row, Ending(0 // 0, 422, "bad"))
        assert out.read_text() == "from last week"
        with report_file(out, source.header) as write:
            write(row, Ending(0, 422, "bad"))
    assert out.read_text().splitlines()[1] == "1,1,a,422,bad,2"
    assert sorted(manifest.parent.iterdir()) == [out, manifest]
    assert out.stat().st_mode & 0o777 == 0o600


def test_what_goes_wrong_beside_the_manifest_is_not_blamed_on_it(manifest: Path) -> None:
    with pytest.raises(OSError, match="disk") as caught, manifest_at(str(manifest), {}):
        raise OSError("the disk is full")
    assert not isinstance(caught.value, RefusedManifestError)


def test_a_full_disk_is_said_of_the_report(manifest: Path) -> None:
    out = Path("/dev/full")
    with manifest_at(str(manifest), {}) as source, pytest.raises(ClientError, match=r"--report /dev/full: .*space"):
        write_report(out, source, iter([Ending(0, 422, "bad")]))


def report_of(path: Path, text: bytes) -> Path:
    """The report of a manifest, all of whose rows failed."""
    path.write_bytes(text)
    out = path.with_name(f"failed-{path.name}")
    with manifest_at(str(path), {}) as source:
        positions = range(len(list(source.rows())))
        write_report(out, source, (Ending(n, 422, "bad") for n in positions))
    return out


def flaws(path: Path) -> list[str | None]:
    with manifest_at(str(path), {}) as source:
        return [row.flaw for row in source.rows()]


def test_columns_of_the_manifests_own_are_kept_beside_those_of_the_report(tmp_path: Path) -> None:
    out = report_of(tmp_path / "m.csv", b"caseAttachment_Key,status,case_Key\n1,closed,1\n")
    wanted = ["caseAttachment_Key", "status", "case_Key", "limpet_status", "limpet_error", "limpet_line"]
    with out.open(newline="") as file:
        assert list(csv.reader(file)) == [wanted, ["1", "closed", "1", "422", "bad", "2"]]
    again = report_of(tmp_path / "again.csv", out.read_bytes())
    assert again.read_bytes() == out.read_bytes(), "the report of a report has the same columns"


def test_members_of_the_manifests_own_are_kept_beside_those_of_the_report(tmp_path: Path) -> None:
    out = report_of(tmp_path / "m.ndjson", b'\xef\xbb\xbf{"line": "north"}\n{"case_Key": 1}\n')
    assert [json.loads(text) for text in out.read_text().splitlines()] == [
        {"line": "north", "limpet_status": 422, "limpet_error": "bad", "limpet_line": 1},
        {"case_Key": 1, "status": 422, "error": "bad", "line": 2},
    ]
    assert report_of(tmp_path / "again.ndjson", out.read_bytes()).read_text() == out.read_text()


@pytest.mark.parametrize("row", [b"1,1", b"1", b'1,1,"open', b"1,1,a,b", b"1,1,\xff"])
def test_a_row_that_was_bad_stays_so_until_it_is_mended(tmp_path: Path, row: bytes) -> None:
    out = report_of(tmp_path / "m.csv", b"caseAttachment_Key,case_Key,comment\n" + row + b"\n")
    assert [bool(flaw) for flaw in flaws(out)] == [True]
    again = report_of(tmp_path / "again.csv", out.read_bytes())
    assert again.read_bytes() == out.read_bytes()
    with out.open(newline="", errors="replace") as file:
        assert next(csv.DictReader(file))["status"] == "422", "its columns are where they belong"


@pytest.mark.parametrize("text", [b'{"comment": "caf\xc3\xa9"}', b'{"comment": "\\ud800"}'])
def test_text_comes_back_as_it_was_spelled(tmp_path: Path, text: bytes) -> None:
    out = report_of(tmp_path / "m.ndjson", text + b"\n")
    assert out.read_bytes().startswith(text[:-1] + b", ")
