"""How many webhooks, keys and forks a project may have, decided in the database."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

import pytest
from httpx2 import Response
from starlette.testclient import TestClient

from recountdb.api.cli import keys
from recountdb.api.services.keys import create_key, list_keys, revoke_key
from recountdb.domain.errors import LimitReached
from recountdb.eventlog.postgres.database import Database
from tests.support.hostile import assert_refused
from tests.support.http_client import open_client
from tests.support.processes import in_threads
from tests.support.routes import WEBHOOK


def make_webhook(client: TestClient, number: int, **headers: str) -> Response:
    return client.post("/v1/webhooks", json=WEBHOOK, headers=headers)


def make_fork(client: TestClient, number: int, **headers: str) -> Response:
    return client.post("/v1/sessions/trip/fork", json={"session_id": f"fork-{number}"}, headers=headers)


KINDS = pytest.mark.parametrize(
    ("setting", "make"), [("webhooks_max", make_webhook), ("forks_max", make_fork)], ids=["webhooks", "forks"]
)


def key_of(database: Database, project: str) -> dict[str, str]:
    return {"X-API-Key": create_key(database, project=project, scopes=["admin"])[1]}


def say(client: TestClient, **headers: str) -> None:
    message = {"role": "user", "content": "hello"}
    answer = client.post("/v1/sessions/trip/messages", json={"messages": [message]}, headers=headers)
    assert answer.status_code == 201


@KINDS
def test_one_too_many_is_refused_in_a_sentence_that_names_the_setting(
    conninfo: str, database: Database, setting: str, make: Callable[..., Response]
) -> None:
    ours, theirs = key_of(database, "ours"), key_of(database, "theirs")
    with open_client(conninfo, **{setting: 2}) as client:
        for headers in (ours, theirs):
            say(client, **headers)
            assert [make(client, number, **headers).status_code for number in range(2)] == [201, 201]
        problem = assert_refused(make(client, 2, **ours), 409)
        assert problem["type"] == "urn:recount:problem:limit-reached"
        assert f"RECOUNT_{setting.upper()}" in problem["detail"]


@KINDS
def test_of_many_at_once_no_more_are_made_than_may_be(
    conninfo: str, setting: str, make: Callable[..., Response]
) -> None:
    """Through servers that know nothing of each other."""
    with ExitStack() as servers:
        clients = [servers.enter_context(open_client(conninfo, **{setting: 3})) for _ in range(3)]
        say(clients[0])
        asks = [(client, number) for number, client in enumerate(clients * 4)]
        answers = in_threads(make, asks)
    assert sorted(answer.status_code for answer in answers) == [201] * 3 + [409] * 9


def test_there_is_room_again_for_a_webhook_or_a_fork(conninfo: str) -> None:
    with open_client(conninfo, webhooks_max=1, forks_max=1) as client:
        say(client)
        webhook = make_webhook(client, 1).json()["id"]
        assert make_fork(client, 1).status_code == 201
        client.delete("/v1/sessions/fork-1")
        assert make_fork(client, 2).status_code == 409
        client.post("/v1/sessions/fork-1/purge", json={})
        client.delete(f"/v1/webhooks/{webhook}")
        assert make_fork(client, 2).status_code == make_webhook(client, 2).status_code == 201


def test_a_repeat_of_what_filled_the_project_is_no_refusal(conninfo: str) -> None:
    with open_client(conninfo, webhooks_max=1, forks_max=1) as client:
        say(client)
        for make in (make_webhook, make_fork):
            headers = {"Idempotency-Key": f"once-{make.__name__}"}
            answers = [make(client, 1, **headers) for _ in range(2)]
            assert [answer.status_code for answer in answers] == [201, 201]
            assert answers[0].content == answers[1].content


def test_holds_are_not_limited(conninfo: str) -> None:
    with open_client(conninfo, webhooks_max=0, forks_max=0, keys_max=1) as client:
        for number in range(5):
            client.post("/v1/sessions", json={"session_id": str(number)})
            held = client.put(f"/v1/sessions/{number}/hold", json={"reason": "case 7"})
            assert held.status_code == 200


def test_keys_that_work_are_counted(database: Database) -> None:
    def make(project: str = "ours") -> str:
        return create_key(database, project=project, scopes=["read"], keys_max=2)[0].id

    first = make()
    make()
    with pytest.raises(LimitReached, match="RECOUNT_KEYS_MAX"):
        make()
    make("theirs")
    revoke_key(database, first)
    make()


def test_of_many_keys_at_once_no_more_are_made_than_may_be(database: Database) -> None:
    def make(number: int) -> bool:
        try:
            create_key(database, project="ours", scopes=["read"], keys_max=3)
        except LimitReached:
            return False
        return True

    made = in_threads(make, [(number,) for number in range(8)])
    assert sum(made) == len(list_keys(database)) == 3


def test_the_command_keeps_to_the_setting(
    conninfo: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECOUNT_DATABASE_URL", conninfo)
    monkeypatch.setenv("RECOUNT_KEYS_MAX", "1")
    keys.create_key("ours")
    with pytest.raises(LimitReached):
        keys.create_key("ours")
