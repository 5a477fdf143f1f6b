"""The relay, on a database that no other one sweeps."""

import os
from pathlib import Path

import psycopg
import pytest
from support.case_attachments import fresh_keys
from support.connections import nowhere
from support.processes import another
from support.unpublished import upsert
from support.waiting import eventually

from worker.database import transaction
from worker.ledger.accept import append_batch
from worker.ledger.model import NewBatch

pytestmark = pytest.mark.usefixtures("server_environment")


def test_an_end_is_notified_though_publishing_beside_it_fails(
    stack: dict[str, str], alone: psycopg.Connection, tmp_path: Path
) -> None:
    with transaction("alone") as session:
        orphan, due = (
            append_batch(session, NewBatch("case_attachments", "test", items))
            for items in ([], [upsert(*fresh_keys())])
        )
    alone.execute(
        "UPDATE batch SET finished_at = NULL, accepted_at = now() - interval '1 hour' WHERE id = %s", [orphan.batch_id]
    )
    alone.execute("UPDATE chunk SET due_at = '-infinity' WHERE id = %s", [due.messages[0].chunk_id])
    away = {"LIMPET_DATABASES": os.environ["LIMPET_DATABASES"], "LIMPET_BROKER_URL": f"redis://{nowhere()}/0"}
    with another(stack, tmp_path / "relay.log", "worker.relay", **away) as relay:
        eventually(lambda: "relay.waits" in relay.log.read_text())
        assert f"batch.finished database=alone batch={orphan.batch_id}" in relay.log.read_text()
