"""The chunks of an import with a pace become due one after another."""

from datetime import timedelta

import httpx
import psycopg
from support.case_attachments import fresh_keys, item
from support.imports import append, named

_LAST_GAP = """
    SELECT due_at - lag(due_at) OVER (ORDER BY first) FROM chunk WHERE batch_id = %s ORDER BY first DESC LIMIT 1
"""


def test_what_is_appended_after_a_resume_is_due_after_what_waited(
    client: httpx.Client, demo_db: psycopg.Connection
) -> None:
    keys = fresh_keys(21)
    opened = named(client, f"resumed {keys[0]}", rowsPerSecond=1)  # so each row is a chunk
    client.post(f"{opened['href']}/pause")
    append(client, opened["href"], 0, [item(k) for k in keys[:20]])
    client.post(f"{opened['href']}/resume")
    assert append(client, opened["href"], 20, [item(keys[20])]).status_code == 200
    (gap,) = demo_db.execute(_LAST_GAP, [opened["id"]]).fetchone() or (None,)
    client.post(f"{opened['batch']}/cancel")
    assert gap == timedelta(seconds=1)
