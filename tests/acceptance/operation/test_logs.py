"""Values of a caller's are in no log of ours, also when the database refuses a row and quotes it."""

import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psycopg
from support.case_attachments import fresh_keys, item, put, statuses
from support.waiting import eventually, finished


@contextmanager
def refusing_rows(database: psycopg.Connection, table: str, check: str) -> Iterator[None]:
    database.execute(f"ALTER TABLE {table} ADD CONSTRAINT not_this CHECK ({check}) NOT VALID")
    try:
        yield
    finally:
        database.execute(f"ALTER TABLE {table} DROP CONSTRAINT not_this")


def logs(stack: dict[str, str], part: str = "") -> str:
    return "\n".join(path.read_text() for path in Path(stack["data"], "logs").glob(f"{part}*.log"))


def lines_of(stack: dict[str, str], part: str, *words: str) -> list[str]:
    return [line for line in logs(stack, part).splitlines() if all(word in line for word in words)]


def test_the_log_has_the_reason_and_no_value_of_a_row_that_a_worker_may_not_write(
    stack: dict[str, str], client: httpx.Client, demo_db: psycopg.Connection
) -> None:
    secret = secrets.token_hex(8)
    with refusing_rows(demo_db, "case_attachment", f"comment <> '{secret}'"):
        assert statuses(put(client, [item(*fresh_keys(), comment=secret)])) == [500]
    assert eventually(lambda: lines_of(stack, "worker", "item.failed", "sqlstate=23514", "constraint=not_this"))
    assert lines_of(stack, "worker", "CheckViolation", "violates check constraint"), "the traceback is there"
    assert lines_of(stack, "postgres", "violates check constraint")
    assert secret not in logs(stack)


def test_the_log_has_no_value_of_a_row_that_the_api_may_not_append(
    stack: dict[str, str], client: httpx.Client, demo_db: psycopg.Connection
) -> None:
    secret = secrets.token_hex(8)
    with refusing_rows(demo_db, "item", f"payload ->> 'comment' <> '{secret}'"):
        answer = put(client, [item(*fresh_keys(), comment=secret)])
    assert (answer.status_code, answer.headers["connection"]) == (500, "close")
    activity = answer.json()["debug"]["activityID"]
    assert eventually(lambda: lines_of(stack, "api", activity, "sqlstate=23514", "constraint=not_this"))
    assert secret not in logs(stack)


def test_health_requests_fill_no_log(stack: dict[str, str], client: httpx.Client) -> None:
    assert client.get("/health/ready").status_code == 200
    assert not lines_of(stack, "api", "PostgresqlImpl")


def test_the_log_has_no_value_of_an_error_that_a_task_raises(
    stack: dict[str, str], client: httpx.Client, demo_db: psycopg.Connection
) -> None:
    secret = secrets.token_hex(8)
    with refusing_rows(demo_db, "item", f"outcome IS NULL OR payload ->> 'comment' <> '{secret}'"):
        sent = put(client, [item(*fresh_keys(), comment=secret)], Prefer="respond-async")
        assert eventually(lambda: lines_of(stack, "worker", "raised unexpected", "CheckViolation"))
    assert finished(client, sent.json()["batch"]["href"])["counts"] == {"created": 1}
    assert secret not in logs(stack)


def test_a_client_that_hangs_up_in_the_middle_of_its_body_is_no_fault_of_ours(
    stack: dict[str, str], client: httpx.Client
) -> None:
    path = f"/case-attachments/{fresh_keys()[0]}"
    request = client.build_request("PUT", path, headers={"Content-Length": "1000", "Content-Type": "application/json"})
    head = "\r\n".join(f"{name}: {value}" for name, value in request.headers.items())
    api = urlsplit(stack["LIMPET_URL"])
    with socket.create_connection((api.hostname, api.port)) as line:
        line.sendall(f"PUT {path} HTTP/1.1\r\n{head}\r\n\r\n[{{".encode())
    assert eventually(lambda: lines_of(stack, "api", f"path={path}"))
    assert not lines_of(stack, "api", "request.failed", f"path={path}")
