"""What becomes of odd rows, in an import as in a dry run; and imports that ended early."""

import json
import signal
import time
from pathlib import Path

import httpx
import pytest
from support.case_attachments import b64, fresh_keys, item, put, read
from support.imports import Command, ended, named, write_csv


@pytest.fixture
def limpet(stack: dict[str, str]) -> Command:
    return Command(stack)


@pytest.mark.parametrize("how", [[], ["--dry-run"]])
def test_text_that_is_no_text_is_that_rows_outcome_with_its_line(
    limpet: Command, tmp_path: Path, how: list[str]
) -> None:
    good, bad = fresh_keys(2)
    table, out = tmp_path / "m.csv", tmp_path / "failed.csv"
    table.write_bytes(b"caseAttachment_Key,case_Key,comment\n%d,1,fine\n%d,1,\xff\n" % (good, bad))
    limpet.run("import", table, "--report", out, *how, code=3)
    assert out.read_bytes().splitlines()[1:] == [
        b'%d,1,\xff,400,"is not UTF-8: invalid start byte, 0xff at byte %d",3' % (bad, len(f"{bad},1,"))
    ]
    objects, out = tmp_path / "m.ndjson", tmp_path / "failed.ndjson"
    row = '{"caseAttachment_Key": %d, "case_Key": 1, "comment": "\\ud800"}\n'
    objects.write_text('{"caseAttachment_Key": 0, "case_Key": 1}\n' + row % bad)
    limpet.run("import", objects, "--report", out, *how, code=3)
    (found,) = map(json.loads, out.read_text().splitlines())
    assert (found["status"], found["error"], found["line"]) == (422, "comment must not contain a lone surrogate", 2)


def test_a_dry_run_refuses_no_row_that_an_import_takes(limpet: Command, tmp_path: Path) -> None:
    (mark,) = fresh_keys()
    files = tmp_path / "files"
    files.mkdir()
    (files / "a.txt").write_text("a")
    manifest = write_csv(tmp_path / "m.csv", ["table", "item", "attachment_Path"], [["claims", mark, "a.txt"]])
    asked = ("import", manifest, "--kind", "files", "--files", files)
    assert limpet.end(*asked, "--dry-run")["counts"] == {"valid": 1, "refused": 0}
    assert limpet.end(*asked)["counts"] == {"created": 1}


def test_a_column_named_action_keeps_no_content_from_a_case_attachment(
    limpet: Command, client: httpx.Client, tmp_path: Path
) -> None:
    (key,) = fresh_keys()
    files = tmp_path / "files"
    files.mkdir()
    (files / "a.txt").write_text("a")
    header = ["caseAttachment_Key", "case_Key", "attachment_Path", "action"]
    manifest = write_csv(tmp_path / "m.csv", header, [[key, 1, "a.txt", "delete"]])
    assert limpet.end("import", manifest, "--files", files)["counts"] == {"created": 1}
    assert client.get(f"/case-attachments/{key}/content").content == b"a"


def test_an_import_that_ended_early_does_not_look_fine(limpet: Command, client: httpx.Client) -> None:
    answer = client.post("/imports?name=early", content=b"a,a\n1,1\n", headers={"Content-Type": "text/csv"}).json()
    ended(client, answer)
    assert "ended early: the header names a twice" in limpet.run("watch", answer["id"], code=3)
    assert "twice" in limpet.end("watch", answer["id"], code=3)["error"]
    assert "ended early: the header names a twice" in line_of(limpet.run("batches"), answer["id"])
    assert client.get(answer["batch"]).headers["batch-outcome"] == "failed"


def line_of(told: str, batch: str) -> str:
    (line,) = (line for line in told.splitlines() if line.startswith(batch))
    return line


def test_a_pause_shows_wherever_the_batch_does(limpet: Command, client: httpx.Client) -> None:
    batch = named(client, "paused and shown")["id"]
    assert "accepted, paused" in line_of(limpet.run("pause", batch), batch)
    assert "accepted, paused" in line_of(limpet.run("batches"), batch)
    watching = limpet.start("watch", batch, "--json")
    assert watching.stdout is not None
    assert json.loads(watching.stdout.readline())["paused"] is True
    assert "accepted  " in line_of(limpet.run("resume", batch), batch)
    assert "cancelled  " in line_of(limpet.run("cancel", batch), batch)
    watching.communicate(timeout=30)
    assert watching.returncode == 3


def test_an_interrupted_import_says_how_it_goes_on(limpet: Command, tmp_path: Path) -> None:
    cells = [[key, 1] for key in fresh_keys(40)]
    manifest = write_csv(tmp_path / "m.csv", ["caseAttachment_Key", "case_Key"], cells)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it, and its children do
    process = limpet.start("import", manifest, "--rows-per-second", "5", "--json")
    assert process.stdout is not None
    batch = json.loads(process.stdout.readline())["batch"]
    assert json.loads(process.stdout.readline())["event"] == "progress"
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGINT
    assert f"the same command goes on where this one stopped; 'limpet cancel {batch}' ends the import" in said
    limpet.run("cancel", batch)


def test_another_pace_for_an_import_that_goes_on_is_not_ignored_in_silence(limpet: Command, tmp_path: Path) -> None:
    keys = fresh_keys(20)
    manifest = write_csv(tmp_path / "m.csv", ["caseAttachment_Key", "case_Key"], [[key, 1] for key in keys])
    first = limpet.start("import", manifest, "--rows-per-second", "5", "--json")
    assert first.stdout is not None
    assert json.loads(first.stdout.readline())["event"] == "opened"
    time.sleep(1)
    first.kill()
    first.communicate()
    told = limpet.run("import", manifest, "--rows-per-second", "100")
    assert "goes on as it was opened, 5 rows a second at most" in told
    assert "20 created" in told


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ({"name": "a\0b"}, "name must not contain U+0000"),
        ({"name": "a", "fingerprint": "\0"}, "fingerprint must not contain U+0000"),
        ({"name": "a", "columns": {"Z": "\0"}}, "columns.Z must not contain U+0000"),
        ({"name": "a", "columns": {"\0": "Z"}}, "columns.\ufffd.[key] must not contain U+0000"),
        ({"name": "a" * 1001}, "name must not be longer than 1000 characters"),
        ({"name": "a", "manifest": "a" * 501}, "manifest must not be longer than 500 characters"),
        ({"name": "a", "rowsPerSecond": 0}, "rowsPerSecond must be 1 or more"),
        ({"name": "a", "rowsPerSecond": 10**7}, "rowsPerSecond must be at most 1000000"),
        ({"name": "a", "kind": "b"}, "kind must be 'case-attachments' or 'files'"),
        ([], "must be a JSON object"),
    ],
)
def test_an_import_that_can_not_be_opened_names_the_rule(client: httpx.Client, wanted: object, why: str) -> None:
    answer = client.post("/imports", json=wanted)
    assert (answer.status_code, answer.json()["error"]["detail"]) == (400, why)


def test_a_row_that_is_refused_without_a_word_still_has_a_text(client: httpx.Client) -> None:
    (mark,) = fresh_keys()
    opened = client.post("/imports", json={"name": f"flaw {mark}"}).json()
    client.put(f"{opened['href']}/rows", params={"from": 0}, content=b'{"line": 1, "flaw": {"message": " "}}')
    (entry,) = client.get(f"{opened['batch']}/report").json()["data"]
    assert (entry["status"], entry["body"]) == (422, "was refused by its sender")


@pytest.mark.parametrize(("key", "rule"), [(2**31, "at most 2147483647"), (-1, "0 or more")])
def test_records_are_asked_for_by_keys_that_there_can_be(client: httpx.Client, key: int, rule: str) -> None:
    answer = client.post("/imports/stored", json={"keys": [key]})
    assert (answer.status_code, answer.json()["error"]["detail"]) == (400, f"keys.0 must be {rule}")


def test_a_refusal_spells_names_as_they_were_sent(client: httpx.Client) -> None:
    answer = client.post("/imports", json={"name": "a", "manifest": "Mine/List.CSV"})
    assert answer.json()["error"]["detail"] == "'Mine/List.CSV' must be the name of an object below imports/"


def test_an_empty_cell_keeps_its_field_and_clears_it_only_if_told_to(
    limpet: Command, client: httpx.Client, tmp_path: Path
) -> None:
    keys = fresh_keys(2)
    full = {"comment": "first", "caseAttachment_Type": "letter", "attachment_File": "a.txt", "attachment": b64(b"x")}
    put(client, [item(key, **full, entry_User="eve") for key in keys])
    header = ["caseAttachment_Key", "case_Key", "comment", "attachment_File", "entry_User", "entry_Date"]
    manifest = write_csv(
        tmp_path / "m.csv", header, [[keys[0], 1, "", "b.txt", "", ""], [keys[1], 1, "second", "", "", ""]]
    )

    assert limpet.end("import", manifest)["counts"] == {"updated": 2}
    first, second = (read(client, key) for key in keys)
    assert (first["comment"], first["attachment_File"], first["caseAttachment_Type"]) == ("first", "b.txt", "letter")
    assert (second["comment"], second["attachment_File"]) == ("second", "a.txt")

    assert "2 updated, 0 skipped, 0 refused, 2 cleared" in limpet.run(
        "import", manifest, "--empty", "clear", "--dry-run"
    )
    # The option is part of the fingerprint, so this is another import and not the finished one.
    assert limpet.end("import", manifest, "--empty", "clear")["counts"] == {"updated": 2}
    first, second = (read(client, key) for key in keys)
    assert (first["comment"], first["attachment_File"], first["caseAttachment_Type"]) == (None, "b.txt", "letter")
    assert (second["comment"], second["attachment_File"], second["entry_User"]) == ("second", None, "eve")
    assert first["attachment"] == second["attachment"] == b64(b"x")
