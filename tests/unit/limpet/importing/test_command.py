"""The command without a server: what it waits for, and what makes an import the same one."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from limpet.commands.import_manifest import ImportArguments, import_command
from limpet.importing.manifest import manifest_at
from schemas.imports import ImportKind


def test_the_command_says_what_it_waits_for(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("caseAttachment_Key,case_Key\n1,1\n")
    server = {"LIMPET_URL": "http://127.0.0.1:1", "LIMPET_DATABASE": "demo", "LIMPET_API_KEY": "key"}
    told = CliRunner().invoke(import_command, [str(tmp_path / "m.csv"), "--patience", "1"], env=server)
    assert told.exit_code == 1
    assert "http://127.0.0.1:1/imports: no answer" in told.output
    assert "Waiting for 1 s at most" in told.output


def test_a_folder_that_is_not_there_opens_no_import(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("caseAttachment_Key,case_Key\n1,1\n")
    told = CliRunner().invoke(import_command, [str(tmp_path / "m.csv"), "--files", str(tmp_path / "scann")])
    assert told.exit_code == 2
    assert "scann' does not exist" in told.output


def test_files_of_another_folder_are_another_import(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("caseAttachment_Key,case_Key\n1,1\n")
    (tmp_path / "link").symlink_to(tmp_path)
    with manifest_at(str(tmp_path / "m.csv"), {}) as source:
        one, same, other, none = (
            options(source.stream.name, folder).fingerprint(source)
            for folder in (tmp_path, tmp_path / "link", tmp_path / "other", None)
        )
    assert one == same
    assert len({one, other, none}) == 3


@pytest.mark.parametrize(
    ("kind", "header", "told"),
    [
        ("case-attachments", "caseAttachment_Key,case_Key,entry_date,", "'entry_date' (entry_Date?), ''"),
        ("case-attachments", "caseAttachment_Key,case_Key,comment,COMMENT", "'COMMENT'"),
        ("files", "table,item,filename,comment,Title", "'comment', 'Title' (title?)"),
        ("case-attachments", "caseAttachment_Key,case_Key,attachment,filename,status,error,line", ""),
        ("files", "table,item,attachment_Path,action,id,title,accessType,showAsImage", ""),
    ],
)
def test_columns_that_are_ignored_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: ImportKind, header: str, told: str
) -> None:
    (tmp_path / "m.csv").write_text(f"{header}\n")
    with manifest_at(str(tmp_path / "m.csv"), {}, kind):
        said = capsys.readouterr().err
    assert said == (f"{tmp_path}/m.csv: columns that are ignored: {told}\n" if told else "")


def options(manifest: str, files: Path | None) -> ImportArguments:
    return ImportArguments(
        manifest=manifest,
        files=files,
        kind="case-attachments",
        mapping={},
        on_conflict="replace",
        rows_per_second=None,
        report=None,
        name=None,
        restart=False,
        dry_run=False,
        patience=1.0,
    )
