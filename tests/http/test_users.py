"""Users: profiles that sessions and messages point to by name."""

from __future__ import annotations

from typing import Any

from starlette.testclient import TestClient

PROFILE: dict[str, Any] = {
    "user_id": "ana",
    "display_name": "Ana L.",
    "email": "ana@example.org",
    "first_name": "Ana",
    "last_name": "Lima",
    "tags": ["coffee", "tea", "coffee"],
    "metadata": {"plan": {"tier": "pro"}},
}


def test_a_user_comes_back_as_created(client: TestClient) -> None:
    created = client.post("/v1/users", json=PROFILE)
    assert created.status_code == 201
    user = created.json()
    assert {name: user[name] for name in PROFILE} == PROFILE
    assert (user["number"], user["version"]) == (1, 1)
    assert client.get("/v1/users/ana").json() == user
    assert client.post("/v1/users", json={"user_id": "ana"}).status_code == 409


def test_what_is_not_known_of_a_user_is_null(client: TestClient) -> None:
    user = client.post("/v1/users", json={"user_id": "ana"}).json()
    unknown = {"display_name": None, "email": None, "first_name": None, "last_name": None, "metadata": None}
    assert {name: user[name] for name in unknown} == unknown
    assert user["tags"] == []


def test_a_change_keeps_what_it_does_not_name_and_forgets_what_is_null(client: TestClient) -> None:
    client.post("/v1/users", json=PROFILE)
    change = {"email": None, "tags": None, "first_name": "Anna", "metadata": {"plan": {"seats": 2}}}
    changed = client.patch("/v1/users/ana", json=change).json()
    expected = {
        **PROFILE,
        "email": None,
        "tags": [],
        "first_name": "Anna",
        "metadata": {"plan": {"tier": "pro", "seats": 2}},
    }
    assert {name: changed[name] for name in PROFILE} == expected
    assert client.get("/v1/users/ana").json() == changed
    trail = client.get("/v1/users/ana/events").json()["items"]
    assert [event["type"] for event in trail] == [
        "user.created",
        "user.profile-replaced",
        "user.metadata-merged",
    ]


def test_a_change_that_changes_nothing_records_nothing(client: TestClient) -> None:
    client.post("/v1/users", json=PROFILE)
    changes: list[dict[str, Any]] = [
        {},
        {"email": PROFILE["email"]},
        {"metadata": {}},
        {"metadata": PROFILE["metadata"]},
    ]
    for change in changes:
        assert client.patch("/v1/users/ana", json=change).json()["version"] == 1


def test_a_deleted_user_is_gone_until_undeleted_or_changed(client: TestClient) -> None:
    created = client.post("/v1/users", json=PROFILE).json()
    deleted = client.delete("/v1/users/ana", params={"reason": "asked"}).json()
    assert deleted["deleted_at"] is not None
    assert client.get("/v1/users/ana").status_code == 404
    assert client.get("/v1/users/ana", params={"deleted": True}).json() == deleted
    restored = client.post("/v1/users/ana/undelete").json()
    assert restored == {**created, "version": 3, "updated_at": restored["updated_at"]}
    client.delete("/v1/users/ana")
    changed = client.patch("/v1/users/ana", json={"first_name": "Anna"}).json()
    assert (changed["first_name"], changed["email"]) == ("Anna", PROFILE["email"])
    assert client.get("/v1/users/ana").json() == changed
    events = client.get("/v1/users/ana/events").json()["items"]
    assert events[1]["payload"] == {"reason": "asked"}


def test_a_users_sessions_are_those_that_were_started_for_them(client: TestClient) -> None:
    for name, user in (("a", "ana"), ("b", "ben"), ("c", "ana"), ("d", None)):
        client.post("/v1/sessions", json={"session_id": name, "user_id": user})
    names = [session["session_id"] for session in client.get("/v1/users/ana/sessions").json()["items"]]
    assert names == ["a", "c"]
    assert client.get("/v1/users/nobody/sessions").json() == {"items": [], "next_cursor": None}


def test_a_users_sessions_do_not_hang_on_a_profile(client: TestClient) -> None:
    client.post("/v1/sessions", json={"session_id": "trip", "user_id": "ana"})
    assert client.get("/v1/users/ana").status_code == 404
    assert len(client.get("/v1/users/ana/sessions").json()["items"]) == 1
