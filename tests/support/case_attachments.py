"""What the tests say to the API, in short."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import psycopg
from support.waiting import eventually

_fresh = iter(range(100_000, 2**31))


def fresh_keys(count: int = 1) -> list[int]:
    """Keys that no other test uses."""
    return [next(_fresh) for _ in range(count)]


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def item(key: int, **fields: Any) -> dict[str, Any]:
    return {"caseAttachment_Key": key, "case_Key": 1, **fields}


def put(client: httpx.Client, items: list[Any], **headers: str) -> httpx.Response:
    return client.put("/case-attachments-batch", json=items, headers=headers)


def statuses(answer: httpx.Response) -> list[int]:
    assert answer.status_code == 207, answer.text
    return [entry["status"] for entry in answer.json()["data"]]


def read(client: httpx.Client, key: int) -> dict[str, Any]:
    answer = client.get(f"/case-attachments/{key}")
    assert answer.status_code == 200, answer.text
    record: dict[str, Any] = answer.json()["data"]
    return record


_REFUSE = """
CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.comment LIKE 'refuse%' THEN REFUSE; END IF;
  RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER refuse BEFORE INSERT OR UPDATE ON case_attachment FOR EACH ROW EXECUTE FUNCTION refuse();
"""


@contextmanager
def refusing(
    database: psycopg.Connection,
    how: str = "RAISE EXCEPTION 'comment is refused' USING ERRCODE = 'check_violation'",
) -> Iterator[None]:
    """While the block runs, the database refuses records whose comment begins with 'refuse'."""
    database.execute(_REFUSE.replace("REFUSE;", f"{how};").encode())
    try:
        yield
    finally:
        database.execute("DROP TRIGGER refuse ON case_attachment")


def connected(stack: dict[str, str], database: str = "demo") -> psycopg.Connection:
    """A connection of its own to a database of the stack, each statement its own transaction; close it."""
    url = json.loads(stack["LIMPET_DATABASES"])[database].replace("postgresql+psycopg", "postgresql")
    return psycopg.connect(url, autocommit=True)


def until_it_waits(database: psycopg.Connection, locktype: str) -> None:
    """Go on once somebody waits for a lock of that type, as pg_locks calls it."""
    waits = "SELECT 1 FROM pg_locks WHERE locktype = %s AND NOT granted"
    eventually(lambda: database.execute(waits, [locktype]).fetchone())
