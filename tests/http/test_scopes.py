"""What a key may do: read, write, or all."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from recountdb.api.services.keys import SCOPES, create_key
from recountdb.eventlog.postgres.database import Database
from tests.support.hostile import assert_refused
from tests.support.routes import ANSWERING, ROUTES, Place, Route, call

MAY: dict[tuple[str, ...], set[str]] = {
    ("read",): {"read"},
    ("write",): {"write"},
    ("read", "write"): {"read", "write"},
    ("admin",): {"read", "write", "admin"},
    ("operator",): {"operator"},
}
"""Scopes of a key → what it may do."""


@pytest.fixture(scope="module")
def keys(shared_conninfo: str) -> Iterator[dict[tuple[str, ...], dict[str, str]]]:
    """Scopes → headers with a key that has them."""
    database = Database(shared_conninfo)
    database.open()
    yield {scopes: {"X-API-Key": create_key(database, project="default", scopes=scopes)[1]} for scopes in MAY}
    database.close()


Keys = dict[tuple[str, ...], dict[str, str]]


@pytest.fixture(scope="module")
def place(shared: TestClient, keys: Keys) -> Place:
    place = Place()
    place.furnish(shared, headers=keys["read", "write"])
    return place


@pytest.mark.usefixtures("nothing_recorded")
@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_a_key_without_the_scope_is_refused(
    shared: TestClient, route: Route, keys: Keys, place: Place
) -> None:
    for scopes, headers in keys.items():
        if route.scope not in MAY[scopes]:
            problem = assert_refused(call(shared, route, place, headers=headers), 403)
            assert problem["detail"] == f"this key lacks the scope '{route.scope}'"


@pytest.mark.parametrize("route", ANSWERING, ids=str)
def test_a_key_with_the_scope_is_let_in(shared: TestClient, route: Route, keys: Keys) -> None:
    place = Place()
    place.furnish(shared, headers=keys["admin",])
    for scopes, headers in keys.items():
        if route.scope in MAY[scopes]:
            answer = call(shared, route, place, headers=headers)
            assert answer.status_code in (route.status, 404), answer.text  # 404: deleted just before


def test_the_scopes_are_those_that_keys_can_have() -> None:
    assert set().union(*MAY.values()) == set(SCOPES)
