"""Projects are tenants in every protocol: none sees, changes or counts what is another's."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

import psycopg
import pytest
from fastapi.routing import APIRoute
from httpx2 import Response
from psycopg import sql
from starlette.testclient import TestClient

from recountdb.api.protocols.registry import PROTOCOLS
from recountdb.api.services.keys import create_key
from recountdb.api.settings import Settings
from recountdb.eventlog.postgres.database import Database
from tests.support.protocol_requests import ALL_REQUESTS, NAMES, REQUESTS_OF, ProtocolRequest

SECRET = "quokka"
OURS = "wombat"
UUID = re.compile("[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}", re.IGNORECASE)
TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?( UTC|Z|[+-]\d\d:?\d\d)?|\b\d{10,}(\.\d+)?\b")

each_request = pytest.mark.parametrize("sent", ALL_REQUESTS, ids=str)


@dataclass(frozen=True)
class Project:
    name: str
    client: TestClient
    headers: Mapping[str, str]

    def furnish(self, sent: ProtocolRequest, words: str) -> Mapping[str, str]:
        names: Mapping[str, str] | None = sent.module.furnish(self.client, dict(self.headers), words)
        return NAMES if names is None else names

    def ask(self, sent: ProtocolRequest, names: Mapping[str, str]) -> Response:
        return sent.send(self.client, names, self.headers)


Make = Callable[[], Project]
numbers = count(1)


@pytest.fixture(scope="module")
def project(shared: TestClient, shared_conninfo: str) -> Iterator[Make]:
    """Makes a project that nobody used before, with a key that may read and write."""
    database = Database(shared_conninfo)
    database.open()

    def make() -> Project:
        name = f"tenant-{next(numbers)}"
        key = create_key(database, project=name, scopes=["read", "write"])[1]
        return Project(name, shared, {"Authorization": f"Bearer {key}"})

    make()  # from now on nobody is let in without a key
    yield make
    database.close()


def everything_of(conninfo: str, project: str) -> dict[str, tuple[int, str]]:
    """By table: how many rows there are of a project, and a hash over them."""
    with psycopg.connect(conninfo) as connection:
        found = connection.execute(
            "SELECT table_name, column_name FROM information_schema.columns JOIN information_schema.tables"
            " USING (table_schema, table_name) WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"
            " AND column_name IN ('project', 'stream_id', 'originator_id')"
        ).fetchall()
        columns = {table: dict.fromkeys(c for t, c in found if t == table) for table, _ in found}
        return {table: rows_of(connection, table, list(named), project) for table, named in columns.items()}


def rows_of(
    connection: psycopg.Connection[Any], table: str, columns: list[str], project: str
) -> tuple[int, str]:
    of_project = "{} = %(project)s"
    of_stream = "{} IN (SELECT originator_id FROM stored_events WHERE project = %(project)s)"
    column = "project" if "project" in columns else columns[0]
    which = sql.SQL(of_project if column == "project" else of_stream).format(sql.Identifier(column))
    statement = sql.SQL(
        "SELECT count(*), md5(coalesce(string_agg(one::text, ' ' ORDER BY one::text), ''))"
        " FROM {} AS one WHERE {}"
    )
    row = connection.execute(statement.format(sql.Identifier(table), which), {"project": project}).fetchone()
    assert row is not None
    return row[0], row[1]


@pytest.mark.parametrize("name", PROTOCOLS)
def test_each_route_has_a_request(name: str) -> None:
    """A route that is new is asked for here by being there: put it into REQUESTS."""
    assert name in REQUESTS_OF, f"there is no {name}_requests.py beside this file"
    asked = {(method, path) for method, path, *_ in REQUESTS_OF[name].REQUESTS}
    for route in PROTOCOLS[name](Settings()):
        assert isinstance(route, APIRoute)
        assert any((method, route.path) in asked for method in route.methods or ()), (
            f"{name}: no request for {route.methods} {route.path}"
        )


@pytest.mark.every
@each_request
def test_the_request_is_a_valid_one(sent: ProtocolRequest, project: Make) -> None:
    ours = project()
    answer = ours.ask(sent, ours.furnish(sent, OURS))
    assert answer.status_code == sent.request[3], answer.text


@each_request
def test_what_is_anothers_is_not_there(sent: ProtocolRequest, project: Make, shared_conninfo: str) -> None:
    theirs, ours = project(), project()
    names = theirs.furnish(sent, SECRET)
    before = everything_of(shared_conninfo, theirs.name)
    assert before["stored_events"][0] > 0
    answer = ours.ask(sent, names)
    assert answer.status_code < 500 or answer.status_code == 501
    assert SECRET not in answer.text
    assert everything_of(shared_conninfo, theirs.name) == before


@each_request
def test_what_both_have_is_each_ones_own(sent: ProtocolRequest, project: Make, shared_conninfo: str) -> None:
    theirs, ours, alone = project(), project(), project()
    theirs.furnish(sent, SECRET)
    names = ours.furnish(sent, OURS)
    before = everything_of(shared_conninfo, theirs.name)
    answer = ours.ask(sent, names)
    assert answer.status_code == sent.request[3], answer.text
    assert SECRET not in answer.text
    assert everything_of(shared_conninfo, theirs.name) == before
    # And as if there were nobody else: no number, count or list is longer.
    as_alone = alone.ask(sent, alone.furnish(sent, OURS))
    assert masked(answer) == masked(as_alone)


def masked(answer: Response) -> tuple[int, str]:
    """An answer without what differs from one time to the next."""
    return answer.status_code, TIME.sub("<time>", UUID.sub("<id>", answer.text))


@each_request
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer rcnt_no_such_key"}], ids=["none", "wrong"])
def test_without_a_key_nothing_is_shown_or_done(
    sent: ProtocolRequest, headers: dict[str, str], project: Make, shared_conninfo: str
) -> None:
    theirs = project()
    names = theirs.furnish(sent, SECRET)
    before = everything_of(shared_conninfo, theirs.name)
    answer = sent.send(theirs.client, names, headers)
    if not sent.is_public:
        assert answer.status_code in (401, 403)
    assert SECRET not in answer.text
    assert everything_of(shared_conninfo, theirs.name) == before
