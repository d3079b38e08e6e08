"""Projects are tenants: whatever one does, another neither sees nor feels it.

Two projects use the very same names. For each route, the second project's request must leave
everything of the first as it was, and show none of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from httpx2 import Response
from starlette.testclient import TestClient

from recountdb.api.services.keys import create_key
from recountdb.eventlog.postgres.database import Database
from tests.support.routes import ANSWERING, ROUTES, Place, Route, body_for, call, make_ready

OURS = "of our own"
THEIRS = "only theirs to know"
NEWEST: dict[str, Any] = {"order": "newest", "limit": 20}


@dataclass(frozen=True)
class Project:
    client: TestClient
    headers: dict[str, str]

    def everything(self) -> list[Any]:
        """What it can see, as far back as any test here goes."""
        lists = [
            ("/v1/sessions", {"deleted": "any"}),
            ("/v1/threads", {"deleted": "any"}),
            ("/v1/users", {"deleted": "any"}),
            ("/v1/messages", {"deleted": "any"}),
            ("/v1/events", {}),
        ]
        return [
            self.client.get(path, params={**query, **NEWEST}, headers=self.headers).json()
            for path, query in lists
        ]


@pytest.fixture(scope="module")
def projects(shared: TestClient, shared_conninfo: str) -> Iterator[tuple[Project, Project]]:
    database = Database(shared_conninfo)
    database.open()
    made = [
        Project(shared, {"X-API-Key": create_key(database, project=name, scopes=["admin"])[1]})
        for name in ("ours", "theirs")
    ]
    yield made[0], made[1]
    database.close()


@pytest.fixture
def us(projects: tuple[Project, Project]) -> Project:
    return projects[0]


@pytest.fixture
def them(projects: tuple[Project, Project]) -> Project:
    return projects[1]


OF_PROJECTS = [route for route in ROUTES if route.scope != "operator"]
CREATING = {"add_session_messages", "add_thread_messages", "set_thread_state"}


@pytest.mark.parametrize("route", [route for route in OF_PROJECTS if route in ANSWERING], ids=str)
def test_what_is_theirs_is_not_there_for_us(us: Project, them: Project, route: Route) -> None:
    place = Place()
    place.furnish(them.client, words=THEIRS, headers=them.headers)
    before = them.everything()
    answer = call(us.client, route, place, headers=us.headers)
    assert THEIRS not in answer.text
    assert them.everything() == before
    has_name = bool(route.names("path"))
    if has_name and route.id not in {*CREATING, "get_thread_state", "list_user_sessions"}:
        assert answer.status_code == 404
    else:
        assert answer.status_code == route.status
    if route.id in CREATING:
        assert answer.headers["etag"] == '"2"', "it begins one of ours, under the same name"


@pytest.mark.parametrize("route", OF_PROJECTS, ids=str)
def test_what_both_have_under_one_name_is_each_ones_own(us: Project, them: Project, route: Route) -> None:
    place = Place()
    place.furnish(them.client, words=THEIRS, headers=them.headers)
    place.furnish(us.client, words=OURS, headers=us.headers)
    before = them.everything()
    if route in ANSWERING:
        answer = call(us.client, route, place, headers=us.headers)
        assert answer.status_code == route.status, answer.text
        assert THEIRS not in answer.text
    assert them.everything() == before


@pytest.mark.parametrize("route", [r for r in ANSWERING if r.names("query") and not r.writes], ids=str)
def test_no_query_shows_theirs(us: Project, them: Project, route: Route) -> None:
    place = Place()
    place.furnish(them.client, words=THEIRS, headers=them.headers)
    if "message_id" not in route.names("path"):
        place.furnish(us.client, words=OURS, headers=us.headers)
    queries = {
        "user_id": place.user_id,
        "metadata": json.dumps({"said": THEIRS}),
        "deleted": "any",
        "order": "newest",
        "limit": "1000",
        "session_id": place.session_id,
        "as_of": "9999-12-31",
    }
    for name in set(queries) & set(route.names("query")):
        answer = us.client.get(place.url(route), params={name: queries[name]}, headers=us.headers)
        assert answer.status_code < 500
        assert THEIRS not in answer.text


def test_their_cursors_lead_us_through_our_own_lists_only(us: Project, them: Project) -> None:
    for project, words in ((them, THEIRS), (us, OURS)):
        for _ in range(3):
            Place().furnish(project.client, words=words, headers=project.headers)
    for path in ("/v1/sessions", "/v1/threads", "/v1/users", "/v1/messages", "/v1/events"):
        page = them.client.get(path, params={"limit": 1}, headers=them.headers).json()
        query = {"cursor": page["next_cursor"], "limit": 1000}
        answer = us.client.get(path, params=query, headers=us.headers)
        assert answer.status_code == 200
        assert THEIRS not in answer.text


def test_each_project_counts_for_itself(us: Project, them: Project) -> None:
    def next_number(project: Project, kind: str) -> int:
        body = {f"{kind}_id": str(uuid4())}
        answer = project.client.post(f"/v1/{kind}s", json=body, headers=project.headers)
        return int(answer.json()["number"])

    for kind in ("session", "thread", "user"):
        mine, theirs = next_number(us, kind), next_number(them, kind)
        for _ in range(3):
            next_number(them, kind)
        assert next_number(us, kind) == mine + 1
        assert next_number(them, kind) == theirs + 4


@pytest.mark.parametrize("route", [route for route in ROUTES if route.writes], ids=str)
def test_an_idempotency_key_is_each_ones_own(us: Project, them: Project, route: Route) -> None:
    place = Place()
    for project, words in ((us, OURS), (them, THEIRS)):
        place.furnish(project.client, words=words, headers=project.headers)
    for project in (us, them):
        make_ready(project.client, route, place, headers=project.headers)
    key = {"Idempotency-Key": str(uuid4())}
    sent = {"json": body_for(route, place)} if route.takes_body else {}
    theirs, ours, again = (
        call(project.client, route, place, headers={**project.headers, **key}, **sent)
        for project in (them, us, us)
    )
    assert theirs.status_code == ours.status_code == route.status, ours.text
    assert THEIRS not in ours.text
    assert said(again) == said(ours)


def said(answer: Response) -> tuple[int, str, bytes]:
    return answer.status_code, answer.headers["etag"], answer.content


def test_a_project_comes_from_the_key_never_from_the_request(us: Project, them: Project) -> None:
    place = Place()
    place.furnish(them.client, words=THEIRS, headers=them.headers)
    strange = {**us.headers, "X-Project": "theirs", "Project": "theirs"}
    answer = us.client.get(f"/v1/sessions/{place.session_id}", params={"project": "theirs"}, headers=strange)
    assert answer.status_code == 404
    refused = us.client.post("/v1/sessions", json={"project": "theirs"}, headers=us.headers)
    assert refused.status_code == 422
