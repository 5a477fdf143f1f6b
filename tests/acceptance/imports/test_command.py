"""Imports: rows in by the command, what failed comes back, and nothing happens twice."""

import csv
import gzip
from pathlib import Path

import httpx
import psycopg
import pytest
from support.case_attachments import fresh_keys, item, put, read, refusing
from support.imports import Command, append, ended, named, write_csv, write_files

HEADER = ["caseAttachment_Key", "case_Key", "comment", "update_Date"]


@pytest.fixture
def limpet(stack: dict[str, str]) -> Command:
    return Command(stack)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_rows_go_in_and_the_failed_ones_come_back_ready_to_be_mended(
    limpet: Command, client: httpx.Client, tmp_path: Path
) -> None:
    keys = fresh_keys(30)
    cells = [[k, "x" if n == 7 else 1, f"row\n{n}", ""] for n, k in enumerate(keys)]
    manifest, failed = write_csv(tmp_path / "m.csv", HEADER, [*cells, [1, 2]]), tmp_path / "failed.csv"
    told = limpet.run("import", manifest, "--report", failed, code=3)
    assert "29 created, 2 invalid" in told
    bad, short = rows_of(failed)
    assert bad == {
        **dict(zip(HEADER, map(str, cells[7]), strict=True)),
        "status": "422",
        "error": "case_Key must be an integer",
        "line": "16",  # the header, and seven rows of two lines each
    }
    assert (short["caseAttachment_Key"], short["status"], short["line"]) == ("1", "400", "62")
    assert "2 columns" in short["error"]
    mended = [{**bad, "case_Key": "5"}]
    write_csv(failed, list(mended[0]), [list(row.values()) for row in mended])
    assert "1 created" in limpet.run("import", failed)
    assert read(client, keys[7])["comment"] == "row\n7"


def test_contents_go_in_byte_for_byte_and_a_second_import_stores_nothing(
    limpet: Command, client: httpx.Client, demo_db: psycopg.Connection, tmp_path: Path
) -> None:
    keys = fresh_keys(60)
    manifest = write_files(tmp_path / "files", keys, seed=1)
    assert limpet.end("import", manifest, "--files", tmp_path / "files")["counts"] == {"created": 60}
    for key in keys:
        content = client.get(f"/case-attachments/{key}/content").content
        assert content == (tmp_path / "files" / f"{key}.bin").read_bytes()
    before = demo_db.execute("SELECT count(*), max(id) FROM blob").fetchone()
    assert "imported already" in limpet.run("import", manifest, "--files", tmp_path / "files")
    again = limpet.end("import", manifest, "--files", tmp_path / "files", "--restart")
    assert again["counts"] == {"updated": 60}
    assert demo_db.execute("SELECT count(*), max(id) FROM blob").fetchone() == before
    assert limpet.end("verify", manifest, "--files", tmp_path / "files", "--no-extra")["counts"] == {"equal": 60}


def test_a_file_that_can_not_be_had_is_its_rows_outcome(limpet: Command, tmp_path: Path) -> None:
    keys = fresh_keys(5)
    files = tmp_path / "files"
    files.mkdir()
    (files / "good").write_text("good")
    (files / "out").symlink_to("/etc/passwd")
    paths = ["good", "none", "../m.csv", "out", ""]
    cells = [[k, 1, path] for k, path in zip(keys, paths, strict=True)]
    manifest = write_csv(tmp_path / "m.csv", ["caseAttachment_Key", "case_Key", "attachment_Path"], cells)
    limpet.run("import", manifest, "--files", files, "--report", tmp_path / "failed.csv", code=3)
    assert [row["attachment_Path"] for row in rows_of(tmp_path / "failed.csv")] == ["none", "../m.csv", "out"]


def test_standard_input_gzip_ndjson_and_renamed_members(limpet: Command, tmp_path: Path) -> None:
    (key,) = fresh_keys()
    (tmp_path / "m.gz").write_bytes(gzip.compress(b'{"id": %d, "case_Key": 3}\n' % key))
    with (tmp_path / "m.gz").open("rb") as text:
        process = limpet.start("import", "-", "--map", "id=caseAttachment_Key", "--restart", stdin=text)
        out, err = process.communicate(timeout=60)
    assert "1 created" in out, err


def test_what_can_not_be_a_manifest_is_refused_with_4(limpet: Command, tmp_path: Path) -> None:
    manifest = write_csv(tmp_path / "m.csv", ["key", "case_Key"], [[1, 1]])
    assert "--map" in limpet.run("import", manifest, code=4)
    assert "no such file" in limpet.run("import", tmp_path / "none", code=4).lower()


def test_a_changed_manifest_is_refused_until_restarted(limpet: Command, client: httpx.Client, tmp_path: Path) -> None:
    (key,) = fresh_keys()
    manifest = write_csv(tmp_path / "m.csv", HEADER, [[key, 1, "", ""]])
    name = str(manifest.resolve())
    opened = named(client, name, fingerprint="of another manifest")
    assert "--restart" in limpet.run("import", manifest, code=4)
    assert limpet.end("import", manifest, "--restart")["counts"] == {"created": 1}
    assert client.get(opened["batch"]).json()["state"] == "cancelled"


def test_a_part_that_is_sent_twice_is_appended_once_and_a_gap_is_refused(client: httpx.Client) -> None:
    keys = fresh_keys(30)
    items = [item(k) for k in keys]
    opened = named(client, f"twice {keys[0]}")
    assert append(client, opened["href"], 0, items[:20]).json()["nextRow"] == 20
    assert append(client, opened["href"], 0, items[:20]).json()["nextRow"] == 20
    assert append(client, opened["href"], 10, items[10:]).json()["nextRow"] == 30
    gap = append(client, opened["href"], 31, items)
    assert (gap.status_code, "from 30 on" in gap.json()["error"]["detail"]) == (409, True)
    running = client.get(opened["batch"], headers={"Prefer": "wait=2"})
    assert (running.json()["state"], running.headers["batch-outcome"]) == ("running", "pending"), "it is still open"
    client.post(f"{opened['href']}/close")
    assert ended(client, opened)["counts"] == {"created": 30}
    assert append(client, opened["href"], 30, items).status_code == 409


def test_a_cancelled_import_takes_no_rows_and_counts_each(client: httpx.Client) -> None:
    keys = fresh_keys(3000)
    opened = named(client, f"cancel {keys[0]}", rowsPerSecond=100)
    append(client, opened["href"], 0, [item(k) for k in keys])
    client.post(f"{opened['batch']}/cancel")
    batch = ended(client, opened)
    assert batch["state"] == "cancelled"
    assert sum(batch["counts"].values()) == 3000
    assert batch["counts"]["cancelled"] > 2000
    assert append(client, opened["href"], 3000, [item(keys[0])]).status_code == 409
    assert client.get(opened["href"]).json()["state"] == "cancelled"


def test_a_paused_import_starts_nothing_until_it_is_resumed(client: httpx.Client) -> None:
    keys = fresh_keys(600)
    opened = named(client, f"pause {keys[0]}")
    assert client.post(f"{opened['href']}/pause").json()["paused"]
    assert append(client, opened["href"], 0, [item(k) for k in keys]).json()["paused"]
    client.post(f"{opened['href']}/close")
    batch = client.get(opened["batch"], headers={"Prefer": "wait=3"}).json()
    assert (batch["state"], batch["counts"]) == ("accepted", {"pending": 600})
    assert not client.post(f"{opened['href']}/resume").json()["paused"]
    assert ended(client, opened)["counts"] == {"created": 600}


def test_rows_a_second_are_capped(client: httpx.Client, demo_db: psycopg.Connection) -> None:
    keys = fresh_keys(40)
    opened = named(client, f"pace {keys[0]}", rowsPerSecond=10)
    append(client, opened["href"], 0, [item(k) for k in keys])
    client.post(f"{opened['href']}/close")
    assert ended(client, opened)["counts"] == {"created": 40}
    (seconds,) = demo_db.execute(
        "SELECT extract(epoch FROM finished_at - accepted_at) FROM batch WHERE id = %s", [opened["id"]]
    ).fetchone() or (0,)
    assert seconds > 2.5, "forty rows at ten a second, the first ten at once"


@pytest.mark.parametrize(
    ("rule", "outcomes"),
    [("replace", ["updated", "updated"]), ("skip", ["skipped", "skipped"]), ("newer", ["skipped", "updated"])],
)
def test_a_conflict_goes_as_the_rule_says(client: httpx.Client, rule: str, outcomes: list[str]) -> None:
    keys = fresh_keys(2)
    put(client, [item(k, comment="week", update_Date="2026-06-01T00:00:00Z") for k in keys])
    opened = named(client, f"conflict {keys[0]}", onConflict=rule)
    dates = ["2026-01-01T00:00:00Z", "2026-12-01T00:00:00Z"]
    sent = [item(k, comment="weekend", update_Date=date) for k, date in zip(keys, dates, strict=True)]
    append(client, opened["href"], 0, sent)
    client.post(f"{opened['href']}/close")
    ended(client, opened)
    report = client.get(f"{opened['batch']}/report").json()["data"]
    assert [entry["outcome"] for entry in report] == outcomes
    assert [entry["line"] for entry in report] == [2, 3]
    kept = ["week" if outcome == "skipped" else "weekend" for outcome in outcomes]
    assert [read(client, k)["comment"] for k in keys] == kept


def test_a_dry_run_tells_what_would_be_and_changes_nothing(
    limpet: Command, client: httpx.Client, tmp_path: Path
) -> None:
    old, new = fresh_keys(2)
    put(client, [item(old, comment="as it was")])
    cells = [[old, 1, "c", ""], [new, 1, "c", ""], [new, 2, "c", ""], [0, 1, "", ""], ["x", 1, "", ""]]
    manifest = write_csv(tmp_path / "m.csv", HEADER, cells)
    told = limpet.end("import", manifest, "--dry-run", "--report", tmp_path / "refused.csv", code=3)
    assert told["counts"] == {"created": 2, "updated": 2, "skipped": 0, "refused": 1}
    assert [row["line"] for row in rows_of(tmp_path / "refused.csv")] == ["6"]
    assert read(client, old)["comment"] == "as it was"
    assert client.get(f"/case-attachments/{new}").status_code == 404


def test_verify_lists_missing_different_and_extra(limpet: Command, acme: httpx.Client, tmp_path: Path) -> None:
    equal, other, content, missing, extra = keys = fresh_keys(5)
    manifest = write_files(tmp_path / "files", keys[:3], seed=2)
    (tmp_path / "files" / f"{content}.bin").write_bytes(b"as imported")
    limpet.run("import", manifest, "--files", tmp_path / "files", database="acme")
    put(acme, [item(other, case_Key=2), item(extra)])
    (tmp_path / "files" / f"{content}.bin").write_bytes(b"changed since")
    header = ["caseAttachment_Key", "case_Key", "attachment_Path"]
    cells = [[k, 1, f"{k}.bin"] for k in (equal, other, content)]
    write_csv(manifest, header, [*cells, [missing, 1, ""]])
    report = tmp_path / "verify.csv"
    limpet.run("verify", manifest, "--files", tmp_path / "files", "--report", report, code=3, database="acme")
    found = {row["caseAttachment_Key"]: row["status"] for row in rows_of(report)}
    assert str(equal) not in found
    wanted = {other: "different", content: "different", missing: "missing", extra: "extra"}
    assert {key: found.get(str(key)) for key in wanted} == wanted


def test_files_of_the_json_api_go_in_too(limpet: Command, demo_db: psycopg.Connection, tmp_path: Path) -> None:
    (mark,) = fresh_keys()
    files = tmp_path / "files"
    (files / "sub").mkdir(parents=True)
    (files / "sub" / "a.txt").write_text("a")
    (files / "b.txt").write_text("b")
    header = ["table", "item", "action", "title", "filename"]
    cells: list[list[object]] = [
        ["claims", mark, "", "first", "sub/a.txt"],
        ["claims", mark, "NEW-ONLY", "", "b.txt"],
        ["claims", mark, "DELETE", "first", ""],
        ["claims", "", "", "", "b.txt"],
        ["claims", mark, "NONSENSE", "", "b.txt"],
    ]
    manifest = write_csv(tmp_path / "m.csv", header, cells)
    dry = limpet.end("import", manifest, "--kind", "files", "--files", files, "--dry-run", code=3)
    assert dry["counts"] == {"valid": 3, "refused": 2}
    told = limpet.end("import", manifest, "--kind", "files", "--files", files, code=3)
    assert told["counts"] == {"created": 2, "deleted": 1, "invalid": 2}
    found = demo_db.execute("SELECT title, file_name FROM file_attachment WHERE item_name = %s", [str(mark)]).fetchall()
    assert found == [("b.txt", "b.txt")]


def test_a_sender_is_held_back_while_too_much_waits_for_workers(client: httpx.Client) -> None:
    keys = fresh_keys(60)
    opened = named(client, f"held back {keys[0]}", rowsPerSecond=1)  # so each row is a chunk
    assert append(client, opened["href"], 0, [item(key) for key in keys]).json()["nextRow"] == 60
    answer = append(client, opened["href"], 60, [item(keys[0])])
    assert (answer.status_code, answer.headers["limpet-reason"]) == (503, "HeldBack")
    assert int(answer.headers["retry-after"]) > 0
    assert client.get(opened["href"]).json()["nextRow"] == 60
    client.post(f"{opened['batch']}/cancel")


def test_a_retry_of_an_import_goes_to_the_queue_of_imports_at_its_pace(
    client: httpx.Client, demo_db: psycopg.Connection
) -> None:
    keys = fresh_keys(3)
    opened = named(client, f"retried {keys[0]}", rowsPerSecond=2)
    with refusing(demo_db):
        append(client, opened["href"], 0, [item(key, comment="refuse") for key in keys])
        client.post(f"{opened['href']}/close")
        assert ended(client, opened)["counts"] == {"failed": 3}
    child = client.post(f"{opened['batch']}/retry").json()
    chunks = demo_db.execute("SELECT DISTINCT queue FROM chunk WHERE batch_id = %s", [child["id"]]).fetchall()
    assert chunks == [("limpet.bulk",)]
    assert ended(client, {"batch": child["href"]})["counts"] == {"created": 3}
