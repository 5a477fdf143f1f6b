"""The client of user commands says what is missing, and what became of a request that went wrong."""

import subprocess
import sys

import httpx
import pytest
from click.testing import CliRunner

from limpet.commands.batches import batches
from limpet.http.client import Client, ClientError, NoAnswerError

GOOD = {
    "LIMPET_URL": "http://127.0.0.1:9",
    "LIMPET_DATABASE": "demo",
    "LIMPET_API_KEY": "key",
    "LIMPET_TOKEN": "token",
}
PROBLEM = {
    "type": "/docs#unauthenticated",
    "title": "Credentials missing or wrong",
    "status": 401,
    "detail": "The bearer token has expired",
    "instance": "/case-attachments/1",
}


@pytest.mark.parametrize("name", ["LIMPET_URL", "LIMPET_DATABASE"])
def test_a_variable_that_is_missing_or_empty_is_named(name: str) -> None:
    for variables in ({n: v for n, v in GOOD.items() if n != name}, {**GOOD, name: ""}):
        with pytest.raises(ClientError, match=f"^{name} is not set"):
            Client.from_environment(variables)


def test_one_credential_is_enough_for_the_client_and_none_is_not() -> None:
    for name in ("LIMPET_API_KEY", "LIMPET_TOKEN"):
        with Client.from_environment({**GOOD, name: ""}):
            pass
    with pytest.raises(ClientError, match="Neither LIMPET_API_KEY nor LIMPET_TOKEN"):
        Client.from_environment({**GOOD, "LIMPET_API_KEY": "", "LIMPET_TOKEN": ""})


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "127.0.0.1:8000", "http://127.0.0.1:port", "ftp://127.0.0.1"])
def test_a_url_without_an_answer_is_an_error_that_names_it(url: str) -> None:
    with (
        pytest.raises(ClientError, match="no answer") as fault,
        Client.from_environment({**GOOD, "LIMPET_URL": url}) as c,
    ):
        c.record(1)
    assert url in fault.value.message


def test_the_servers_reason_is_told() -> None:
    refusal = {"data": None, "error": PROBLEM, "debug": {"activityID": "0190b6c4"}}
    with pytest.raises(ClientError) as fault, answering(httpx.Response(401, json=refusal)) as client:
        client.record(1)
    assert fault.value.message == (
        "GET http://limpet/base/case-attachments/1: HTTP 401, Credentials missing or wrong: "
        "The bearer token has expired (activity 0190b6c4)"
    )


@pytest.mark.parametrize("status", [408, 429, 503])
def test_a_transient_error_is_worth_another_attempt(status: int) -> None:
    with pytest.raises(NoAnswerError), answering(httpx.Response(status, json={})) as client:
        client.record(1)


@pytest.mark.parametrize("status", [200, 502])
def test_an_answer_of_another_server_is_an_error(status: int) -> None:
    with (
        pytest.raises(ClientError, match="GET http://limpet/base/case-attachments/1: "),
        answering(httpx.Response(status, text="<html>hello</html>")) as client,
    ):
        client.record(1)


def test_a_body_that_breaks_off_is_an_error() -> None:
    def broken(_request: httpx.Request) -> httpx.Response:
        raise httpx.RemoteProtocolError("peer closed connection")

    with pytest.raises(ClientError, match="peer closed connection"), client_of(httpx.MockTransport(broken)) as client:
        client.content(1)


def test_the_light_client_loads_no_servers_library() -> None:
    servers = {"worker", "api_stub", "sqlalchemy", "celery", "minio", "fastapi", "limpet.embedded"}
    script = f"import sys, limpet.http.client; print(*({servers!r} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == []


def answering(response: httpx.Response) -> Client:
    return client_of(httpx.MockTransport(lambda _request: response))


def client_of(transport: httpx.MockTransport) -> Client:
    return Client(httpx.Client(base_url="http://limpet/base", transport=transport))


def test_an_outcome_that_there_is_not_is_answered_with_those_that_there_are() -> None:
    told = CliRunner().invoke(batches, ["--outcome", "falied"], env=GOOD)
    assert told.exit_code == 2
    assert "'falied' is not one of 'created'" in told.output
