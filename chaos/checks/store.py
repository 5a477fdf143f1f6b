"""Checks the object store: every named object exists, and no other."""

import base64
import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass

import celery
import psycopg
from minio import Minio

from chaos.checks.findings import Findings
from chaos.checks.replay import Replay
from chaos.load.calls import Calls
from chaos.load.requests import COLLECTIONS, Content, digest
from worker.ledger.model import BULK_QUEUE

_COLLECT_TIMEOUT_SECONDS = 120.0
_COLLECT_PAUSE_SECONDS = 5.0
# Garbage, and blobs that nothing names: the work left for the collector.
_UNCOLLECTED = """
    SELECT (SELECT count(*) FROM garbage) + (
        SELECT count(*) FROM blob WHERE NOT EXISTS (SELECT FROM case_attachment AS r WHERE r.blob_id = blob.id)
        AND NOT EXISTS (SELECT FROM file_attachment AS f WHERE f.blob_id = blob.id)
        AND NOT EXISTS (SELECT FROM item WHERE item.blob_id = blob.id))
"""


def request_collection(variables: Mapping[str, str]) -> None:
    """Publish a task for the collector, as beat does every few minutes."""
    url = variables["LIMPET_BROKER_URL"]
    options = {"socket_timeout": 2, "socket_connect_timeout": 2}
    with celery.Celery(
        set_as_current=False, broker_read_url=url, broker_write_url=url, broker_transport_options=options
    ) as app:
        app.send_task("limpet.collect", ("demo",), queue=BULK_QUEUE, expires=60, retry=False)


@dataclass
class Store:
    """The bucket, and the blobs that name its objects."""

    variables: Mapping[str, str]
    database: psycopg.Connection
    findings: Findings

    def await_collector(self) -> None:
        """Request collections until no garbage is left; note what remains after two minutes."""
        end = time.monotonic() + _COLLECT_TIMEOUT_SECONDS
        left = self._count_uncollected()
        while left and time.monotonic() < end:
            request_collection(self.variables)
            time.sleep(_COLLECT_PAUSE_SECONDS)
            left = self._count_uncollected()
        if left:
            self.findings.note("orphans", f"{left} blobs or objects that nothing names were not collected", left)

    def check(self) -> int:
        """Compare blobs with objects, sizes and SHA-256 included; return the number of blobs."""
        client, bucket = self._client(), self.variables["LIMPET_S3_BUCKET"]
        objects = {o.object_name: o.size for o in client.list_objects(bucket, prefix="demo/", recursive=True)}
        count = 0
        for key, size, sha256 in self.database.execute("SELECT object_key, size, sha256 FROM blob"):
            count += 1
            found = objects.pop(key, None)
            if found != size:
                self.findings.note("lost", f"the content {key} has {found} bytes instead of {size}")
            elif size and _read_digest(client, bucket, key) != sha256:
                self.findings.note("lost", f"the content {key} is another than it was")
        for key in objects:
            self.findings.note("orphans", f"object {key}, which nothing names")
        return count

    def _count_uncollected(self) -> int:
        row = self.database.execute(_UNCOLLECTED).fetchone()
        assert row is not None
        return int(row[0])

    def _client(self) -> Minio:
        return Minio(
            self.variables["LIMPET_S3_ENDPOINT"],
            access_key=self.variables["LIMPET_S3_ACCESS_KEY"],
            secret_key=self.variables["LIMPET_S3_SECRET_KEY"],
            secure=False,
            region="us-east-1",
        )


def _read_digest(client: Minio, bucket: str, key: str) -> bytes:
    found = hashlib.sha256()
    answer = client.get_object(bucket, key)
    try:
        for piece in answer.stream(2**18):
            found.update(piece)
    finally:
        answer.close()
        answer.release_conn()
    return found.digest()


def check_answers(calls: Calls, replay: Replay, findings: Findings, records: int) -> None:
    """Compare the API with the models: the files of every item, the contents of some records."""
    with calls.client() as http:
        for name in COLLECTIONS:
            shown = http.post(f"/jsonapi/GetFileAttachments/Chaos/{name}").json()["fileattachments"]["files"]
            found = {
                f["id"]: (f["title"], f["fileName"], _sha256(base64.b64decode(f["contentsBase64"]["data"])))
                for f in shown
            }
            model = replay.files[name].files if name in replay.files else {}
            wanted = {n: (f["title"], f["filename"], digest(f["contents"])) for n, f in model.items()}
            if found != wanted:
                findings.note("lost", f"the files of {name} are {json.dumps(sorted(found))}, not {sorted(wanted)}")
        with_content = [k for k, r in replay.records.records.items() if isinstance(r["attachment"], Content)]
        for key in with_content[-records:]:
            answer = http.get(f"/case-attachments/{key}/content")
            wanted_content = replay.records.records[key]["attachment"]
            if not answer.is_success or _sha256(answer.content) != digest(wanted_content):
                findings.note("lost", f"GET of the content of {key}: HTTP {answer.status_code}")


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
