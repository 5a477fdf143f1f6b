"""Names that others depend on. A move of code changes none of them."""

import subprocess
import sys

import click

from api_stub.app import create_app
from limpet.cli import main
from worker.broker import notifications
from worker.broker.celery_app import QUEUES, app
from worker.settings import Settings

ROUTES = """
DELETE /case-attachments/{CaseAttachment_Key}
DELETE /case-attachments/{CaseAttachment_Key}/content
GET /batches
GET /batches/{batch_id}
GET /batches/{batch_id}/events
GET /batches/{batch_id}/items/{position}
GET /batches/{batch_id}/report
GET /case-attachments
GET /case-attachments/{CaseAttachment_Key}
GET /case-attachments/{CaseAttachment_Key}/content
GET /health/live
GET /health/ready
GET /imports/stored
GET /imports/{batch_id}
GET /jsonapi/GetFileAttachments/{table}/{item}
GET /metrics
HEAD /case-attachments/{CaseAttachment_Key}/content
POST /batches/{batch_id}/cancel
POST /batches/{batch_id}/retry
POST /case-attachments
POST /imports
POST /imports/check
POST /imports/stored
POST /imports/{batch_id}/close
POST /imports/{batch_id}/contents
POST /imports/{batch_id}/pause
POST /imports/{batch_id}/resume
POST /jsonapi/GetFileAttachments/{table}/{item}
POST /jsonapi/UpdateFileAttachments/{table}/{item}
POST /uploads
PUT /case-attachments-batch
PUT /case-attachments/{CaseAttachment_Key}
PUT /imports/{batch_id}/rows
"""
SETTINGS = """
databases broker_url
s3_endpoint s3_access_key s3_secret_key s3_bucket s3_region s3_public_endpoint s3_secure
require jwt_secret credentials
max_items max_body max_content most_open_items spool_free inline_content public_url
wait longest_wait list_contents include_file_limit
chunk_items chunk_bytes small_batch import_chunks_ahead import_folders
worker_processes task_seconds worker_memory ring_after lease
upload_lifetime max_upload keep_batches collect_after
"""
COMMANDS = """
batches cancel check demo import keys migrate pause report resume retry token up users verify watch why
"""


def test_every_path_of_the_api_is_where_clients_know_it() -> None:
    paths = create_app().openapi()["paths"]
    known = {f"{method.upper()} {path}" for path, operations in paths.items() for method in operations}
    assert known == set(ROUTES.strip().splitlines())


def test_every_setting_has_the_name_that_deployments_give_it() -> None:
    assert set(Settings.model_fields) == set(SETTINGS.split())
    assert Settings.model_config["env_prefix"] == "LIMPET_"


def test_every_command_is_called_as_scripts_call_it() -> None:
    assert main.list_commands(click.Context(main)) == COMMANDS.split()


def test_tasks_queues_and_the_channel_are_named_as_processes_of_another_version_name_them() -> None:
    script = "import worker.tasks as t; print(*sorted(n for n in t.app.tasks if n.startswith('limpet.')))"
    tasks = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert tasks.split() == ["limpet.collect", "limpet.deliver", "limpet.expire", "limpet.load"]
    assert list(QUEUES) == ["limpet", "limpet.bulk"]
    assert app.main == "limpet"
    assert notifications._CHANNEL == "limpet.ends"


def test_processes_are_started_by_the_modules_that_deployments_name() -> None:
    for start in ("worker.tasks", "worker.relay", "api_stub.app", "limpet", "limpet.cli"):
        script = f"import importlib.util as u, sys; sys.exit(u.find_spec({start!r}) is None)"
        subprocess.run([sys.executable, "-c", script], check=True)
