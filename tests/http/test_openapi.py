"""The OpenAPI document: valid, complete, with examples, and fit for a generator of clients."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
from starlette.testclient import TestClient

from tests.support.routes import DOCUMENT, ROUTES, Place, Route, body_for, resolved, routes, wait_for_rebuild

ALL = list(routes())


def test_the_document_is_served_as_it_is_made(shared: TestClient) -> None:
    assert shared.get("/openapi.json").json() == DOCUMENT
    assert DOCUMENT["openapi"].startswith("3.1")


def test_operation_ids_are_unique_and_read_as_what_they_do() -> None:
    ids = [route.id for route in ALL]
    assert len(set(ids)) == len(ids)
    verbs = (
        "start|create|add|list|get|audit|rename|merge|change|set|delete|undelete|stream"
        "|diff|fork|replay|prove|resume|hold|release|purge"
    )
    for name in ids:
        assert re.fullmatch(rf"(?:{verbs})(?:_[a-z]+)+", name), name


def test_every_operation_says_what_it_does() -> None:
    for route in ALL:
        assert route.operation.get("description", "").endswith("."), route
        assert route.operation["tags"], route


def schemas() -> Iterator[tuple[str, dict[str, Any]]]:
    yield from DOCUMENT["components"]["schemas"].items()


def test_every_reference_leads_somewhere_and_every_schema_is_used() -> None:
    used = set(re.findall(r"'#/components/schemas/([^']+)'", str(DOCUMENT)))
    assert used == {name for name, _ in schemas()}


@pytest.mark.parametrize("name", [name for name, _ in schemas()])
def test_every_schema_is_valid(name: str) -> None:
    jsonschema_rs.Draft202012Validator(within_components(DOCUMENT["components"]["schemas"][name]))


def within_components(schema: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "components": DOCUMENT["components"]}


@pytest.mark.parametrize("route", [route for route in ROUTES if route.takes_body], ids=str)
def test_every_body_has_an_example_that_is_taken(shared: TestClient, route: Route) -> None:
    schema = route.body_schema()
    place = Place()
    place.furnish(shared)
    assert schema["examples"]
    for example in schema["examples"]:
        if route.id == "start_rebuild":
            wait_for_rebuild(shared)
        jsonschema_rs.Draft202012Validator(within_components(schema)).validate(example)
        answer = shared.request(route.method, place.url(route), json=example)
        assert answer.status_code == route.status, answer.text


@pytest.mark.parametrize("route", [route for route in ROUTES if route.takes_body], ids=str)
def test_a_body_with_all_members_is_what_the_document_says(route: Route) -> None:
    validator = jsonschema_rs.Draft202012Validator(
        within_components(route.body_schema()), validate_formats=True
    )
    validator.validate(body_for(route, Place()))
    assert not validator.is_valid({**body_for(route, Place()), "unknown": 1})


def test_every_parameter_has_a_type_and_those_in_paths_an_example() -> None:
    for route in ROUTES:
        for parameter in route.operation.get("parameters", []):
            schema = resolved(parameter["schema"])
            assert "type" in schema or "anyOf" in schema, (route, parameter["name"])
            if parameter["in"] == "path":
                assert parameter["required"]
                assert parameter.get("example") or parameter.get("examples") or schema.get("examples"), route
