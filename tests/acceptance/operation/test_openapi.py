"""Schemathesis reads the OpenAPI document and sends what it allows and what it forbids."""

from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    positive_data_acceptance,
    response_schema_conformance,
    status_code_conformance,
)
from support.case_attachments import fresh_keys, item, put

from api_stub.app import create_app

# What the document can't say: a bad item is its own outcome inside a 207, an unknown key 404, a known one 409.
_EXCLUDED: Any = [negative_data_rejection, positive_data_acceptance]
_CONFORMANCE: Any = [status_code_conformance, content_type_conformance, response_schema_conformance]
_DOCUMENT: Any = schemathesis.openapi.from_dict(create_app().openapi())
_OPERATIONS = [found.ok() for found in _DOCUMENT.get_all_operations()]


@pytest.mark.parametrize("operation", _OPERATIONS, ids=lambda operation: operation.label)
def test_no_request_gets_a_server_error_or_an_undocumented_answer(operation: Any, client: httpx.Client) -> None:
    @settings(
        max_examples=15,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def send(case: Any) -> None:
        case.call_and_validate(
            base_url=str(client.base_url), headers=dict(client.headers), excluded_checks=_EXCLUDED, timeout=60
        )

    send()


def test_answers_that_need_something_to_be_there_are_in_the_document(client: httpx.Client) -> None:
    batch = put(client, [item(key) for key in fresh_keys(2)]).json()["batch"]["href"]
    opened = client.post("/imports", json={"name": batch})
    for path, answer in [
        ("/batches/{batch_id}", client.get(batch)),
        ("/batches/{batch_id}/report", client.get(f"{batch}/report")),
        ("/batches/{batch_id}/report", client.get(f"{batch}/report", headers={"Accept": "text/csv"})),
        ("/batches/{batch_id}/report", client.get(f"{batch}/report", headers={"Accept": "application/x-ndjson"})),
        ("/batches/{batch_id}/items/{position}", client.get(f"{batch}/items/1")),
        ("/batches/{batch_id}/events", client.get(f"{batch}/events")),
        ("/batches/{batch_id}/events", client.get(f"{batch}/events", headers={"Last-Event-ID": "end"})),
        ("/batches/{batch_id}/cancel", client.post(f"{batch}/cancel")),
        ("/imports", opened),
        ("/imports", client.post("/imports", json={"name": batch})),
        ("/imports/{batch_id}/close", client.post(f"{opened.json()['href']}/close")),
    ]:
        case = _DOCUMENT[path][answer.request.method].Case(path_parameters={"batch_id": batch, "position": 1})
        case.validate_response(answer, checks=_CONFORMANCE)
