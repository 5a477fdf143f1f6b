"""Schemathesis reads the OpenAPI document and sends what it allows and what it forbids."""

from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from api_stub.app import create_app

# What the document can't say: a bad item is its own outcome inside a 207, an unknown key 404, a known one 409.
_EXCLUDED: Any = [negative_data_rejection, positive_data_acceptance]
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
