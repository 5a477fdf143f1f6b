"""Family B: who may come in, and as whom."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from support.case_attachments import fresh_keys, item
from support.file_attachments import add, data, fresh_item, get, send

from api_stub.auth.credentials import make_token


def users(stack: dict[str, str], *arguments: str, password: str = "") -> subprocess.CompletedProcess[str]:
    """The command ``limpet users``, which reads the password from its standard input."""
    variables = os.environ | {name: value for name, value in stack.items() if name.startswith("LIMPET_")}
    command = [sys.executable, "-m", "limpet", "users", *arguments]
    return subprocess.run(command, env=variables, input=password, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def eve(stack: dict[str, str]) -> Iterator[tuple[str, str]]:
    """A user of acme by default, who may use demo, too."""
    name, password = "Évé", "correct: horse bättery"
    made = users(stack, "add", name, "--database", "demo", "--database", "acme", "--default", "acme", password=password)
    assert made.returncode == 0, made.stderr
    yield name, password
    users(stack, "remove", name)


def ask(stack: dict[str, str], auth: Any = None, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    path = "/jsonapi/GetFileAttachments/Incidents/1?a=b"
    return httpx.get(stack["LIMPET_URL"] + path, auth=auth, headers=named, timeout=30)


def test_a_user_comes_in_by_name_and_password_in_either_form_of_unicode(
    stack: dict[str, str], eve: tuple[str, str]
) -> None:
    name, password = eve
    assert ask(stack, eve).status_code == 200
    decomposed = (name.replace("é", "e\u0301").replace("É", "E\u0301"), password.replace("ä", "a\u0308"))
    assert ask(stack, decomposed).status_code == 200


@pytest.mark.parametrize("auth", [("limpet", "wrong"), ("nobody", "at all"), ("", ""), None])
def test_wrong_credentials_are_told_nothing_but_that(stack: dict[str, str], auth: Any) -> None:
    answer = ask(stack, auth)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Basic realm=")
    assert answer.json() == {
        "request": {"url": "/jsonapi/GetFileAttachments/Incidents/1?a=b"},
        "error": {"type": "authentication", "msg": "Authentication failed"},
        "result": {"type": "ERROR", "msg": "Authentication failed"},
    }


@pytest.mark.parametrize(
    "header", ["Basic", "Basic ***", "Basic bm9jb2xvbg==", "Basic /////w==", "Digest x", "Bearer x"]
)
def test_malformed_credentials_are_wrong_credentials(stack: dict[str, str], header: str) -> None:
    assert ask(stack, Authorization=header).status_code == 401


def test_a_token_comes_in_by_its_header(stack: dict[str, str]) -> None:
    assert ask(stack, ALFSSOAuthNToken=stack["LIMPET_TOKEN"]).status_code == 200
    assert ask(stack, ALFSSOAuthNToken=stack["LIMPET_TOKEN"] + "x").status_code == 401
    for subject in ("", "a\0b", "\ud800"):  # a name that no ledger keeps
        token = make_token(stack["LIMPET_JWT_SECRET"], subject, ["demo"], timedelta(hours=1))
        assert ask(stack, ALFSSOAuthNToken=token).status_code == 401


def test_family_as_credentials_come_in_with_their_database(stack: dict[str, str], client: httpx.Client) -> None:
    path = fresh_item()
    add(client, path, "a")
    assert len(get(client, path)) == 1
    key, token = stack["LIMPET_API_KEY"], f"Bearer {stack['LIMPET_TOKEN']}"
    assert ask(stack, x_api_key=key, Authorization=token).status_code == 400  # no database
    assert ask(stack, x_api_key=key, vbasoftware_database="demo").status_code == 401  # half of what is required


def test_the_database_is_the_users_default_unless_a_header_names_another(
    stack: dict[str, str], eve: tuple[str, str], files: httpx.Client, acme: httpx.Client
) -> None:
    path = fresh_item()
    with httpx.Client(base_url=stack["LIMPET_URL"], auth=eve, timeout=60) as hers:
        add(hers, path, "in acme")
        assert get(files, path) == []
        assert [f["fileName"] for f in get(acme, path)] == ["in acme"]
        hers.headers["vbasoftware-database"] = "demo"
        assert get(hers, path) == []
        link = get(acme, path)[0]["url"]
        del hers.headers["vbasoftware-database"]
        assert hers.get(link).content == b"x"
    assert ask(stack, eve, vbasoftware_database="demo").status_code == 200
    other = ask(stack, eve, vbasoftware_database="not hers")
    assert (other.status_code, other.json()["result"]["type"]) == (403, "ERROR")


def test_records_keep_their_own_credentials(files: httpx.Client) -> None:
    (key,) = fresh_keys()
    answer = files.put("/case-attachments-batch", json=[item(key)], headers={"vbasoftware-database": "demo"})
    assert answer.status_code == 401


def test_batches_and_uploads_are_open_to_either_family(
    stack: dict[str, str], files: httpx.Client, client: httpx.Client, acme: httpx.Client
) -> None:
    href = send(files, fresh_item(), [{"filename": "a", "contentsbase64": data(b"x")}]).json()["batch"]["href"]
    batch = files.get(href).json()
    assert batch == client.get(href).json()
    assert batch["caller"] == stack["LIMPET_USER"]
    assert acme.get(href).status_code == 404
    assert files.post("/uploads").status_code == 201
    refused = httpx.get(stack["LIMPET_URL"] + href, auth=("limpet", "wrong"))
    assert (refused.status_code, refused.json()["error"]["status"]) == (401, 401)
    assert "Basic" in refused.headers["www-authenticate"]


def test_a_removed_user_and_an_old_password_stop_working_at_once(stack: dict[str, str]) -> None:
    def add_with(password: str) -> None:
        assert users(stack, "add", "temp", "--database", "demo", password=password).returncode == 0

    add_with("first password")
    assert ask(stack, ("temp", "first password")).status_code == 200
    add_with("second password\n")
    assert ask(stack, ("temp", "first password")).status_code == 401
    assert ask(stack, ("temp", "second password")).status_code == 200
    assert "temp: demo" in users(stack, "list").stdout
    assert users(stack, "remove", "temp").returncode == 0
    assert ask(stack, ("temp", "second password")).status_code == 401
    assert users(stack, "remove", "temp").returncode != 0


@pytest.mark.parametrize(
    ("arguments", "password"),
    [
        (["a:b", "--database", "demo"], "long enough"),
        (["short", "--database", "demo"], "1234567"),
        (["x", "--database", "unknown"], "long enough"),
        (["x", "--database", "demo", "--default", "acme"], "long enough"),
    ],
)
def test_a_user_that_can_not_be_is_refused(stack: dict[str, str], arguments: list[str], password: str) -> None:
    refused = users(stack, "add", *arguments, password=password)
    assert refused.returncode != 0
    assert "Traceback" not in refused.stderr


def test_no_password_is_kept_in_clear(stack: dict[str, str], eve: tuple[str, str]) -> None:
    with open(stack["LIMPET_CREDENTIALS"]) as file:  # noqa: PTH123  one look
        kept = file.read()
    assert "$argon2id$" in kept
    assert eve[1] not in kept
    assert stack["LIMPET_PASSWORD"] not in kept


@pytest.mark.long
def test_guessing_gets_slow_for_the_one_name_only(stack: dict[str, str], eve: tuple[str, str]) -> None:
    users(stack, "add", "victim", "--database", "demo", password="not to be guessed")
    took = []
    for guess in range(6):
        began = time.monotonic()
        assert ask(stack, ("victim", f"guess {guess}")).status_code == 401
        took.append(time.monotonic() - began)
    assert took[-1] >= 2.0
    threads = [threading.Thread(target=ask, args=(stack, ("victim", f"guess {n}"))) for n in range(8)]
    for thread in threads:
        thread.start()
    others = []
    for _ in range(3):
        began = time.monotonic()
        assert ask(stack, eve).status_code == 200
        others.append(time.monotonic() - began)
    for thread in threads:
        thread.join()
    assert min(others) < 2.0
    assert ask(stack, ("victim", "not to be guessed")).status_code == 200
