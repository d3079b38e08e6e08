"""Requests made up for every route of every protocol: whatever is sent, the server does not fail.

The protocols' routes read their bodies and queries by themselves, so FastAPI cannot tell what these take.
The OpenAPI document is made of the valid requests in ``<name>_requests.py`` instead, of which each route has
one (test_tenants.py says so): members of these names, of these types or of any other. RECOUNT_TEST_CASES says
how many cases there are in all, then different ones each time.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from starlette.testclient import TestClient

from tests.support.protocol_requests import ARGUMENTS, NAMES, QUERIED, REQUESTS_OF

TOLD = os.environ.get("RECOUNT_TEST_CASES")
CASES = int(TOLD or 400)
SECONDS_PER_CASE_MAX = 1

NOBODY_ANSWERS = 501
"""What a run or a prediction is told where no responder is configured."""

ANYTHING: dict[str, Any] = {}
Decorator = Callable[[Callable[..., None]], Callable[..., None]]


def document() -> dict[str, Any]:
    """The routes of all protocols, with what may be sent there."""
    found: dict[str, Any] = {"openapi": "3.1.0", "info": {"title": "protocols", "version": "1"}, "paths": {}}
    for module in REQUESTS_OF.values():
        for method, path, what, _ in module.REQUESTS:
            place = re.sub(r":\w+}", "}", path)
            operation = found["paths"].setdefault(place, {}).setdefault(method.lower(), blank(place))
            add_sent(operation, method, what)
    return found


def blank(path: str) -> dict[str, Any]:
    """An operation with its path's parameters."""
    names = re.findall(r"{(\w+)}", path)
    parameters = [parameter(name, "path", {"type": "string", "minLength": 1}) for name in names]
    for each in parameters:
        if each["name"] in EXAMPLES:
            each["schema"] = {"anyOf": [{"const": EXAMPLES[each["name"]]}, each["schema"]]}
    return {"parameters": parameters, "responses": {"default": {"description": "any"}}}


def parameter(name: str, place: str, schema: Any) -> dict[str, Any]:
    return {"name": name, "in": place, "required": place == "path", "schema": schema}


def add_sent(operation: dict[str, Any], method: str, what: Any) -> None:
    """Have ``operation`` take what ``what``, the third member of a request, has, and things like it."""
    sent = {"params" if method in QUERIED else "json": what}
    if isinstance(what, dict) and what and what.keys() <= ARGUMENTS:
        sent = what
    known = {each["name"] for each in operation["parameters"]}
    for name, value in dict(sent.get("params") or {}).items():
        if name not in known:
            operation["parameters"].append(parameter(name, "query", {"anyOf": [like(value), like("")]}))
    if sent.get("json") is not None:
        body = operation.setdefault(
            "requestBody", {"content": {"application/json": {"schema": {"anyOf": []}}}}
        )
        body["content"]["application/json"]["schema"]["anyOf"].append(like(sent["json"]))


def like(value: Any) -> dict[str, Any]:
    """A schema of values that are formed as ``value``, or not at all."""
    match value:
        case dict():
            own = {"type": "object", "properties": {name: like(each) for name, each in value.items()}}
        case list():
            own = {"type": "array", "items": {"anyOf": [like(each) for each in value] or [ANYTHING]}}
        case bool():
            own = {"type": "boolean"}
        case int():
            own = {"type": "integer"}
        case float():
            own = {"type": "number"}
        case _:
            own = {"anyOf": [{"const": value}, {"type": "string"}]}
    return {"anyOf": [own, own, own, ANYTHING]}


EXAMPLES: dict[str, str] = dict(NAMES)
for _module in REQUESTS_OF.values():
    EXAMPLES |= getattr(_module, "NAMES", {})

DOCUMENT = document()
OPERATIONS = sum(map(len, DOCUMENT["paths"].values()))
each_operation: Decorator = schemathesis.openapi.from_dict(DOCUMENT).parametrize()
some_cases: Decorator = settings(
    max_examples=max(CASES // OPERATIONS, 1),
    derandomize=TOLD is None,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)

# Hypothesis looks whether somebody draws from Python's own random numbers while it makes up a case. The
# server's threads do, which run in this process.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies"),
    pytest.mark.timeout(max(120, CASES // OPERATIONS * SECONDS_PER_CASE_MAX)),
]


@pytest.fixture(scope="module")
def furnished(shared: TestClient) -> TestClient:
    """A client where each protocol wrote a conversation."""
    for module in REQUESTS_OF.values():
        module.furnish(shared, {}, "One chai latte, please.")
    return shared


@each_operation
@some_cases
def test_nothing_makes_the_server_fail(case: Any, furnished: TestClient) -> None:
    wanted: Any = requests.Request(**case.as_transport_kwargs(base_url="http://127.0.0.1")).prepare()
    answer = furnished.request(wanted.method, wanted.url, headers=dict(wanted.headers), content=wanted.body)
    if answer.status_code != NOBODY_ANSWERS:
        case.validate_response(answer, checks=[not_a_server_error])
