"""Whether the server lives, and whether it can work."""

from __future__ import annotations

from starlette.testclient import TestClient

from tests.support.hostile import SECRET
from tests.support.outage import database_gone, give_up_soon


def test_a_server_with_its_database_is_ready(shared: TestClient) -> None:
    assert shared.get("/v1/health").json() == {"status": "ok"}
    assert shared.get("/v1/ready").json() == {"status": "ready"}


def test_a_server_without_its_database_lives_but_is_not_ready(
    client: TestClient, server: str, conninfo: str
) -> None:
    client.post("/v1/sessions", json={"session_id": "trip"})
    give_up_soon(client)
    with database_gone(server, conninfo):
        assert client.get("/v1/health").status_code == 200
        for answer in (
            client.get("/v1/ready"),
            client.get("/v1/sessions"),
            client.get("/v1/sessions/trip/messages"),
            client.post(
                "/v1/sessions/trip/messages", json={"messages": [{"role": "user", "content": SECRET}]}
            ),
            client.post("/v1/sessions", json={"session_id": "other"}),
        ):
            assert answer.status_code == 503, answer.text
            assert int(answer.headers["retry-after"]) > 0
            problem = answer.json()
            assert problem["type"] == "urn:recount:problem:unavailable"
            assert problem["status"] == 503
            assert SECRET not in answer.text
            assert "dbname" not in answer.text
            assert "recount_test_" not in answer.text


def test_a_server_works_again_when_its_database_is_back(
    client: TestClient, server: str, conninfo: str
) -> None:
    client.post("/v1/sessions", json={"session_id": "before"})
    with database_gone(server, conninfo):
        pass
    assert client.get("/v1/ready").status_code == 200
    assert client.get("/v1/sessions/before").status_code == 200
    first, second = (client.post("/v1/sessions", json={"session_id": name}) for name in ("one", "two"))
    assert [first.status_code, second.status_code] == [201, 201]
    assert client.get("/v1/sessions/one").status_code == 200
