"""Requests made up from the OpenAPI document, right and wrong: the server keeps to what it says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests
import schemathesis
from httpx2 import Response
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.testclient import TestClient

from tests.support.routes import DOCUMENT

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
HAVE_LISTS = {"/v1/events", "/v1/audit"}
"""Where a query has lists of texts: "type=false" is one, though schemathesis takes it for a boolean."""
Decorator = Callable[[Callable[..., None]], Callable[..., None]]
WITHOUT_KEYS = {name: value for name, value in DOCUMENT.items() if name != "security"}
"""The server has no keys, and so takes any; schemathesis would count a strange one as wrong."""
SCHEMA = schemathesis.openapi.from_dict(WITHOUT_KEYS).exclude(path="/v1/events/stream")  # it has no end
each_operation: Decorator = SCHEMA.parametrize()

# Hypothesis looks whether somebody draws from Python's own random numbers while it makes up a case. The
# server's threads do, which run in this process: whoever sends webhooks, and the pool of connections.
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")


def examples(count: int) -> Decorator:
    return settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


def answer_to(client: TestClient, case: Any) -> Response:
    """Its answer, as a request of the test's own client."""
    wanted: Any = requests.Request(**case.as_transport_kwargs(base_url="http://127.0.0.1")).prepare()
    return client.request(wanted.method, wanted.url, headers=dict(wanted.headers), content=wanted.body)


def assert_kept(case: Any, answer: Response) -> None:
    excluded = [negative_data_rejection] if case.path in HAVE_LISTS else []
    case.validate_response(answer, checks=CHECKS, excluded_checks=excluded)


@each_operation
@examples(settings().max_examples // 5)
def test_the_server_keeps_to_its_document(case: Any, shared: TestClient) -> None:
    assert_kept(case, answer_to(shared, case))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@each_operation
@examples(200)
def test_the_server_keeps_to_its_document_for_long(case: Any, shared: TestClient) -> None:
    assert_kept(case, answer_to(shared, case))
