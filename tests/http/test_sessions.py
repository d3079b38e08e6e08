"""Sessions: conversations under names of the caller's choice."""

from __future__ import annotations

from starlette.testclient import TestClient


def test_a_session_starts_with_its_user_and_metadata(client: TestClient) -> None:
    body = {"session_id": "trip", "user_id": "ana", "metadata": {"channel": "web"}}
    started = client.post("/v1/sessions", json=body)
    assert started.status_code == 201
    session = started.json()
    assert {name: session[name] for name in body} == body
    assert (session["number"], session["version"], session["message_count"]) == (1, 1, 0)
    assert session["created_at"] == session["updated_at"]
    assert session["deleted_at"] is None
    assert client.get("/v1/sessions/trip").json() == session


def test_a_session_without_a_name_gets_one(client: TestClient) -> None:
    first, second = (client.post("/v1/sessions", json={}).json() for _ in range(2))
    assert first["session_id"] != second["session_id"]
    assert [first["number"], second["number"]] == [1, 2]
    assert client.get(f"/v1/sessions/{first['session_id']}").json() == first


def test_the_first_message_starts_a_session_for_its_user(client: TestClient) -> None:
    body = {"messages": [{"role": "user", "content": "hi"}], "user_id": "ana"}
    assert client.post("/v1/sessions/trip/messages", json=body).status_code == 201
    session = client.get("/v1/sessions/trip").json()
    assert (session["user_id"], session["message_count"], session["version"]) == ("ana", 1, 2)


def test_whose_a_session_is_does_not_change(client: TestClient) -> None:
    for user in ("ana", "ben"):
        body = {"messages": [{"role": "user", "content": "hi"}], "user_id": user}
        assert client.post("/v1/sessions/trip/messages", json=body).status_code == 201
    assert client.get("/v1/sessions/trip").json()["user_id"] == "ana"


def test_a_name_that_is_taken_is_refused_also_by_a_deleted_session(client: TestClient) -> None:
    client.post("/v1/sessions", json={"session_id": "trip"})
    live = client.post("/v1/sessions", json={"session_id": "trip"})
    client.delete("/v1/sessions/trip")
    deleted = client.post("/v1/sessions", json={"session_id": "trip"})
    for refused in (live, deleted):
        assert refused.status_code == 409
        assert refused.json()["type"] == "urn:recount:problem:already-exists"
    assert "undelete" in deleted.json()["detail"]
    assert len(client.get("/v1/sessions/trip/events").json()["items"]) == 2


def test_a_renamed_session_takes_its_history_along(client: TestClient) -> None:
    client.post("/v1/sessions/lisbon/messages", json={"messages": [{"role": "user", "content": "hi"}]})
    before = client.get("/v1/sessions/lisbon").json()
    renamed = client.post("/v1/sessions/lisbon/rename", json={"session_id": "porto"})
    assert renamed.status_code == 200
    assert renamed.json() == {
        **before,
        "session_id": "porto",
        "version": before["version"] + 1,
        "updated_at": renamed.json()["updated_at"],
    }
    assert client.get("/v1/sessions/lisbon").status_code == 404
    assert client.get("/v1/sessions/porto").json() == renamed.json()
    assert len(client.get("/v1/sessions/porto/messages").json()["items"]) == 1
    types = [event["type"] for event in client.get("/v1/sessions/porto/events").json()["items"]]
    assert types == ["session.started", "session.message-added", "session.renamed"]


def test_a_name_left_behind_is_free_at_once(client: TestClient) -> None:
    first = client.post("/v1/sessions", json={"session_id": "trip"}).json()
    client.post("/v1/sessions/trip/rename", json={"session_id": "old-trip"})
    second = client.post("/v1/sessions", json={"session_id": "trip"})
    assert second.status_code == 201
    assert second.json()["number"] == first["number"] + 1
    assert client.get("/v1/sessions/old-trip").json()["number"] == first["number"]


def test_a_rename_to_a_taken_name_is_refused_and_to_its_own_is_nothing(client: TestClient) -> None:
    client.post("/v1/sessions", json={"session_id": "lisbon"})
    client.post("/v1/sessions", json={"session_id": "porto"})
    taken = client.post("/v1/sessions/lisbon/rename", json={"session_id": "porto"})
    assert taken.status_code == 409
    same = client.post("/v1/sessions/lisbon/rename", json={"session_id": "lisbon"})
    assert (same.status_code, same.json()["version"]) == (200, 1)


def test_a_deleted_session_cannot_be_renamed(client: TestClient) -> None:
    client.post("/v1/sessions", json={"session_id": "trip"})
    client.delete("/v1/sessions/trip")
    assert client.post("/v1/sessions/trip/rename", json={"session_id": "other"}).status_code == 404
