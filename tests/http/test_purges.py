"""Purging over HTTP: what goes, what a hold keeps, what is told afterwards; nothing stumbles over it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from httpx2 import Response
from starlette.testclient import TestClient

from recountdb.api.services import keys
from recountdb.api.services.read_audit import page_reads
from recountdb.eventlog.integrity.checkpoints import take_checkpoints
from recountdb.eventlog.postgres.database import Database, connect
from recountdb.projections.lists.paging import Window
from recountdb.projections.rebuild import shadow
from tests.support.http_client import open_client
from tests.support.live_server import as_in_log, serve_on_port
from tests.support.processes import wait_until
from tests.support.proofs import run_checker
from tests.support.receiver import Receiver
from tests.support.talk import Talk

Resource = dict[str, Any]

SPOKEN = "mellifluous"


@pytest.fixture(params=["sessions", "threads"])
def talk(request: pytest.FixtureRequest, client: TestClient) -> Talk:
    """A conversation that has not begun, of either kind, in a store of its own."""
    return Talk(client, f"/v1/{request.param}/{uuid4()}")


@pytest.fixture
def trip(client: TestClient) -> Talk:
    """A session of ana's in which bob and a tool spoke as well; what ana said is to go."""
    talk = Talk(client, "/v1/sessions/trip")
    said = [
        {"role": "user", "content": f"{SPOKEN} 1", "user_id": "ana"},
        {"role": "user", "content": "kept 2", "user_id": "bob"},
        {"role": "user", "content": f"{SPOKEN} 3", "user_id": "ana"},
        {"role": "tool", "content": "kept 4"},
    ]
    assert talk.post({"messages": said, "user_id": "ana"}).status_code == 201
    return talk


def purge(client: TestClient, path: str, **body: Any) -> Resource:
    answer = client.post(f"{path}/purge" if path else "/v1/purges", json=body)
    assert answer.status_code == 200, answer.text
    found: Resource = answer.json()
    return found


def receipts(client: TestClient, **query: Any) -> list[Resource]:
    items: list[Resource] = client.get("/v1/purges", params=query).json()["items"]
    return items


def problem(answer: Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].rpartition(":")[2]


class TestNamed:
    def test_a_conversation_live_or_deleted_goes(self, talk: Talk) -> None:
        for is_deleted in (False, True):
            talk.add(SPOKEN, "two")
            stream_id = talk.trail()[0]["stream_id"]
            if is_deleted:
                talk.delete()
            answer = purge(talk.client, talk.path, reason="asked for")
            (target,), (receipt,) = answer["targets"], answer["receipts"]
            assert target == {
                "kind": talk.kind,
                "name": talk.name,
                "stream_id": stream_id,
                "whole": True,
                "messages": 2,
                "why_not": None,
            }
            assert (receipt["stream_id"], receipt["kind"]) == (stream_id, talk.kind)
            assert (receipt["events"], receipt["messages"]) == (3 + is_deleted, 2)
            assert (receipt["reason"], receipt["actor"], receipt["is_erased"]) == ("asked for", "local", True)
            assert talk.name not in json.dumps(receipt)

    def test_reads_find_nothing_afterwards(self, talk: Talk) -> None:
        (message,) = talk.add(SPOKEN)
        purge(talk.client, talk.path)
        client, path = talk.client, talk.path
        for answer in (
            talk.get(),
            talk.get(deleted=True),
            talk.get(as_of=1),
            talk.page(),
            talk.page(deleted="any"),
            talk.page(as_of=2),
            talk.message(message["id"]),
            talk.message(message["id"], as_of=2),
            talk.change(message["id"], {"content": "x"}),
            talk.remove(message["id"]),
            talk.merge({"a": 1}),
            talk.delete(),
            talk.undelete(),
            client.get(f"/v1/messages/{message['id']}"),
            client.get(f"{path}/events"),
            client.get(f"{path}/proof"),
            client.get(f"{path}/diff", params={"from": 1}),
            client.post(f"{path}/purge", json={}),
            client.put(f"{path}/hold", json={"reason": "case 7"}),
            client.delete(f"{path}/hold"),
        ):
            assert problem(answer) == (404, "not-found"), answer.request.url
        assert client.get(f"/v1/{talk.kind}s", params={"deleted": "any"}).json()["items"] == []
        assert client.get("/v1/messages", params={"deleted": "any"}).json()["items"] == []

    def test_what_only_sessions_have_finds_nothing_either(self, client: TestClient) -> None:
        talk = Talk(client, "/v1/sessions/trip")
        talk.add(SPOKEN)
        purge(client, talk.path)
        for answer in (
            client.get(f"{talk.path}/replay", params={"speed": "max"}),
            client.post(f"{talk.path}/fork", json={}),
            client.post(f"{talk.path}/rename", json={"session_id": "other"}),
        ):
            assert problem(answer) == (404, "not-found"), answer.request.url

    def test_its_name_and_the_ids_of_its_messages_are_free_and_its_number_is_not(self, talk: Talk) -> None:
        (message,) = talk.add(SPOKEN)
        number = talk.get().json()["number"]
        purge(talk.client, talk.path)
        talk.add("new", id=message["id"])
        assert talk.contents() == ["new"]
        assert talk.types() == ["started", "message-added"]
        state = talk.get().json()
        assert (state["number"], state["version"], state["message_count"]) == (number + 1, 2, 1)

    def test_a_fork_of_it_stays_and_names_no_origin(self, client: TestClient) -> None:
        talk = Talk(client, "/v1/sessions/trip")
        talk.add("kept")
        client.post(f"{talk.path}/fork", json={"session_id": "copy"})
        purge(client, talk.path)
        copy = Talk(client, "/v1/sessions/copy")
        assert copy.contents() == ["kept"]
        assert copy.get().json()["forked_from"]["session_id"] is None

    def test_headers_of_writes_leave_nothing_out(self, client: TestClient) -> None:
        """It is many commands: under one key the first would have answered for all."""
        talks = [Talk(client, f"/v1/sessions/{name}") for name in "abc"]
        for talk in talks:
            talk.post({"messages": [{"role": "user", "content": SPOKEN}], "user_id": "ana"})
        headers = {"Idempotency-Key": "once", "If-Match": '"7"'}
        answer = client.post("/v1/users/ana/purge", json={}, headers=headers).json()
        assert (len(answer["targets"]), len(answer["receipts"])) == (3, 3)
        assert {talk.get().status_code for talk in talks} == {404}

    def test_a_repeat_by_its_retry_key_is_a_new_write(self, talk: Talk) -> None:
        body = {"messages": [{"role": "user", "content": SPOKEN}]}
        key = {"Idempotency-Key": "once"}
        first = talk.post(body, **key).json()
        purge(talk.client, talk.path)
        again = talk.post(body, **key)
        assert again.status_code == 201
        assert again.json()["messages"][0]["id"] != first["messages"][0]["id"]
        assert talk.contents() == [SPOKEN]

    @pytest.mark.parametrize("is_deleted", [False, True])
    def test_a_user_goes_with_sessions_and_with_what_they_said_among_others(
        self, client: TestClient, trip: Talk, is_deleted: bool
    ) -> None:
        client.post("/v1/users", json={"user_id": "ana", "email": "ana@example.org"})
        if is_deleted:
            client.delete("/v1/users/ana")
        hers = Talk(client, "/v1/sessions/hers")
        hers.post({"messages": [{"role": "user", "content": SPOKEN}], "user_id": "ana"})
        among = Talk(client, f"/v1/threads/{uuid4()}")
        among.add(SPOKEN, user_id="ana")
        among.add("kept", user_id="bob")
        answer = purge(client, "/v1/users/ana")
        assert sorted((t["kind"], t["whole"], t["messages"], t["why_not"]) for t in answer["targets"]) == [
            ("session", False, 2, None),
            ("session", True, 1, None),
            ("thread", False, 1, None),
            ("user", True, 0, None),
        ]
        assert {receipt["events"] for receipt in answer["receipts"]} >= {None}
        assert hers.get().status_code == 404
        assert among.contents(deleted="any") == ["kept"]
        assert trip.contents(deleted="any") == ["kept 2", "kept 4"]
        assert problem(client.get("/v1/users/ana", params={"deleted": True})) == (404, "not-found")
        assert client.post("/v1/users", json={"user_id": "ana"}).json()["number"] == 2

    def test_a_user_without_a_profile_goes_too_and_nobody_is_not_found(
        self, client: TestClient, trip: Talk
    ) -> None:
        assert [target["kind"] for target in purge(client, "/v1/users/ana")["targets"]] == ["session"]
        assert problem(client.post("/v1/users/nobody/purge", json={})) == (404, "not-found")

    def test_a_session_of_a_scope_goes_alone(self, client: TestClient) -> None:
        talk = Talk(client, "/v1/sessions/trip")
        talk.add("kept")
        body = {"messages": [{"role": "user", "content": SPOKEN}]}
        assert client.post(f"{talk.path}/messages?scope=flow", json=body).status_code == 201
        assert client.post(f"{talk.path}/purge?scope=flow", json={}).status_code == 200
        assert client.get(f"{talk.path}?scope=flow").status_code == 404
        assert talk.contents() == ["kept"]

    def test_another_project_is_left_alone(self, client: TestClient, database: Database) -> None:
        headers = {
            project: {"X-API-Key": keys.create_key(database, project=project, scopes=["admin"])[1]}
            for project in ("one", "two")
        }
        body = {"messages": [{"role": "user", "content": "x", "user_id": "ana"}], "user_id": "ana"}
        for key in headers.values():
            client.post("/v1/sessions/trip/messages", json=body, headers=key)
            client.delete("/v1/sessions/trip", headers=key)
        for path, asked in {"/v1/users/ana/purge": {}, "/v1/purges": {"older_than_days": 0}}.items():
            assert client.post(path, json=asked, headers=headers["one"]).status_code == 200
        found = client.get("/v1/sessions/trip?deleted=true", headers=headers["two"])
        assert found.status_code == 200
        assert client.get("/v1/purges", headers=headers["two"]).json()["items"] == []
        assert len(client.get("/v1/purges", headers=headers["one"]).json()["items"]) == 1


class TestRehearsal:
    def test_it_says_what_would_go_and_leaves_it(self, talk: Talk) -> None:
        talk.add(SPOKEN)
        before = talk.client.get("/v1/events").json()
        answer = purge(talk.client, talk.path, dry_run=True)
        assert [(t["name"], t["why_not"]) for t in answer["targets"]] == [(talk.name, None)]
        assert answer["receipts"] == receipts(talk.client) == []
        assert talk.client.get("/v1/events").json() == before

    def test_it_says_what_is_held_as_the_purge_does(self, client: TestClient, trip: Talk) -> None:
        client.post("/v1/users", json={"user_id": "ana"})
        unsigned = Talk(client, "/v1/sessions/unsigned")
        said = [{"role": "user", "content": "hers"}, {"role": "user", "content": "his", "user_id": "bob"}]
        unsigned.post({"messages": said, "user_id": "ana"})
        among = Talk(client, f"/v1/threads/{uuid4()}")
        among.add(SPOKEN, user_id="ana")
        among.add("kept", user_id="bob")
        assert client.put("/v1/users/ana/hold", json={"reason": "case 7"}).status_code == 200
        rehearsed = purge(client, "/v1/users/ana", dry_run=True)
        assert len(rehearsed["targets"]) == 4
        assert {target["why_not"] for target in rehearsed["targets"]} == {
            "the user is under a legal hold: release it first"
        }
        purged = purge(client, "/v1/users/ana")
        assert purged["targets"] == rehearsed["targets"]
        assert purged["receipts"] == receipts(client) == []
        assert unsigned.contents() == ["hers", "his"]
        assert trip.get().json()["message_count"] == 4


class TestRetention:
    def test_what_was_deleted_goes_and_the_rest_stays(self, client: TestClient, trip: Talk) -> None:
        gone, single = Talk(client, "/v1/sessions/gone"), Talk(client, f"/v1/threads/{uuid4()}")
        gone.add(SPOKEN)
        gone.delete()
        kept, deleted = single.add("kept", SPOKEN)
        single.remove(deleted["id"])
        assert purge(client, "", older_than_days=1)["targets"] == []
        rehearsed = purge(client, "", older_than_days=0, dry_run=True)
        answer = purge(client, "", older_than_days=0, reason="monthly")
        assert answer["targets"] == rehearsed["targets"]
        assert sorted((t["kind"], t["whole"], t["messages"]) for t in answer["targets"]) == [
            ("session", True, 1),
            ("thread", False, 1),
        ]
        assert {receipt["reason"] for receipt in answer["receipts"]} == {"monthly"}
        assert single.contents(deleted="any") == ["kept"]
        assert problem(single.message(deleted["id"])) == (404, "not-found")
        assert problem(single.message(deleted["id"], as_of=3)) == (404, "not-found")
        assert single.message(kept["id"]).json() == kept
        assert trip.get().status_code == 200
        assert purge(client, "", older_than_days=0)["targets"] == []

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"older_than_days": -1},
            {"older_than_days": 36_501},
            {"older_than_days": "7"},
            {"older_than_days": True},
            {"older_than_days": 1, "dry_run": "no"},
            {"older_than_days": 1, "session_id": "trip"},
            {"older_than_days": 1, "reason": "x" * 501},
        ],
    )
    def test_a_body_that_cannot_be_taken_purges_nothing(self, client: TestClient, body: Any) -> None:
        talk = Talk(client, "/v1/sessions/trip")
        talk.add("kept")
        talk.delete()
        assert problem(client.post("/v1/purges", json=body)) == (422, "invalid-input")
        assert talk.get(deleted=True).status_code == 200


class TestReceipts:
    def test_they_come_in_pages_from_either_end(self, client: TestClient) -> None:
        for number in range(5):
            talk = Talk(client, f"/v1/sessions/trip-{number}")
            talk.add(SPOKEN)
            purge(client, talk.path, reason=str(number))
        for order, wanted in (("oldest", "01234"), ("newest", "43210")):
            found, cursor = "", None
            while True:
                query: dict[str, Any] = {"order": order, "limit": 2} | ({"cursor": cursor} if cursor else {})
                page = client.get("/v1/purges", params=query).json()
                found += "".join(receipt["reason"] for receipt in page["items"])
                cursor = page["next_cursor"]
                if cursor is None:
                    break
            assert found == wanted

    def test_they_are_in_the_log_with_a_chain_head_that_a_proof_would_have(
        self, client: TestClient, trip: Talk
    ) -> None:
        (receipt,) = purge(client, "/v1/users/ana")["receipts"]
        proof = client.get(f"{trip.path}/proof").json()
        (said,) = (event for event in proof["events"] if event["version"] == receipt["version"])
        assert (said["topic"], said["link"]) == ("session.messages-erased", receipt["chain_head"])
        (event,) = client.get("/v1/events", params={"type": "session.messages-erased"}).json()["items"]
        assert event["position"] == receipt["position"]

    def test_while_views_are_checked_they_say_that_the_erasing_waits(
        self, client: TestClient, conninfo: str
    ) -> None:
        talk = Talk(client, "/v1/sessions/trip")
        talk.add(SPOKEN)
        with connect(conninfo) as connection, shadow.hold_rebuild_lock(connection):
            (receipt,) = purge(client, talk.path)["receipts"]
            assert receipt["is_erased"] is False
            assert talk.get().status_code == 404
        wait_until(lambda: receipts(client)[0]["is_erased"])
        assert SPOKEN not in client.get("/v1/events").text


class TestHolds:
    def test_it_is_shown_and_keeps_what_is_named_until_it_is_released(self, talk: Talk) -> None:
        talk.add("kept")
        assert talk.get().json()["hold"] is None
        hold, client = f"{talk.path}/hold", talk.client
        placed = client.put(hold, json={"reason": "case 7"})
        assert (placed.status_code, placed.json()["hold"]) == (200, "case 7")
        assert placed.headers["ETag"] == '"3"'
        assert talk.get().json() == placed.json()
        talk.delete()
        for path, body in ((talk.path, {}), ("", {"older_than_days": 0})):
            answer = purge(client, path, **body)
            assert answer["receipts"] == []
            expected = [f"the {talk.kind} is under a legal hold: release it first"] if path else []
            assert [target["why_not"] for target in answer["targets"]] == expected
        assert talk.contents(deleted="any") == ["kept"]
        assert client.delete(hold).json()["hold"] is None
        assert len(purge(client, "", older_than_days=0)["receipts"]) == 1

    def test_twice_is_once_and_another_reason_is_another_event(self, talk: Talk) -> None:
        talk.add("kept")
        hold = f"{talk.path}/hold"
        for reason in ("case 7", "case 7", "case 8"):
            assert talk.client.put(hold, json={"reason": reason}).json()["hold"] == reason
        for _ in range(2):
            assert talk.client.delete(hold).status_code == 200
        assert talk.types()[2:] == ["hold-placed", "hold-placed", "hold-released"]

    def test_it_may_be_placed_only_at_the_version_that_was_read(self, talk: Talk) -> None:
        talk.add("kept")
        headers = {"If-Match": '"1"'}
        for answer in (
            talk.client.put(f"{talk.path}/hold", json={"reason": "case 7"}, headers=headers),
            talk.client.delete(f"{talk.path}/hold", headers=headers),
        ):
            assert problem(answer) == (412, "version-mismatch")

    @pytest.mark.parametrize("body", [{}, {"reason": None}, {"reason": ""}, {"reason": "x" * 501}])
    def test_it_needs_a_reason(self, talk: Talk, body: Any) -> None:
        talk.add("kept")
        answer = talk.client.put(f"{talk.path}/hold", json=body)
        assert problem(answer) == (422, "invalid-input")

    def test_what_is_not_there_cannot_be_held(self, talk: Talk) -> None:
        answer = talk.client.put(f"{talk.path}/hold", json={"reason": "case 7"})
        assert problem(answer) == (404, "not-found")


def test_only_admins_may_purge_or_hold(client: TestClient, database: Database) -> None:
    scopes = ("read", "write")
    key = {"X-API-Key": keys.create_key(database, project="default", scopes=scopes)[1]}
    talk = Talk(client, "/v1/sessions/trip")
    client.post(
        f"{talk.path}/messages", json={"messages": [{"role": "user", "content": "kept"}]}, headers=key
    )
    for answer in (
        client.post(f"{talk.path}/purge", json={}, headers=key),
        client.post("/v1/purges", json={"older_than_days": 0}, headers=key),
        client.get("/v1/purges", headers=key),
        client.put(f"{talk.path}/hold", json={"reason": "case 7"}, headers=key),
        client.delete(f"{talk.path}/hold", headers=key),
    ):
        assert problem(answer) == (403, "forbidden")
    assert client.get(talk.path, headers=key).json()["version"] == 2


class TestPartlyErased:
    """A session from which some messages were erased, in everything that reads its events."""

    @pytest.fixture
    def erased(self, client: TestClient, trip: Talk) -> Talk:
        first = trip.page(order="oldest").json()["items"][0]
        trip.change(first["id"], {"content": f"{SPOKEN} changed"})
        trip.merge({"mood": "good"})
        purge(client, "/v1/users/ana")
        return trip

    def test_every_moment_of_it_can_be_read(self, erased: Talk) -> None:
        last = erased.get().json()["version"]
        assert last == 8
        for version in range(1, last + 1):
            for answer in (
                erased.get(as_of=version),
                erased.page(as_of=version),
                erased.page(as_of=version, deleted="any", order="oldest", limit=1),
            ):
                assert answer.status_code == 200, answer.text
                assert SPOKEN not in answer.text
        assert erased.contents(as_of=7) == ["kept 2", "kept 4"]
        assert erased.get().json()["message_count"] == 2

    def test_any_two_moments_of_it_can_be_compared(self, erased: Talk) -> None:
        last = erased.get().json()["version"]
        for start in range(1, last + 1):
            for end in range(1, last + 1):
                answer = erased.client.get(f"{erased.path}/diff", params={"from": start, "to": end})
                assert answer.status_code == 200, answer.text
                assert SPOKEN not in answer.text

    def test_it_is_replayed_with_what_is_left(self, erased: Talk) -> None:
        replayed = erased.client.get(f"{erased.path}/replay", params={"speed": "max"})
        assert replayed.status_code == 200
        assert SPOKEN not in replayed.text
        assert replayed.text.count("event: session.message-added") == 4
        assert "event: end" in replayed.text

    def test_it_can_be_forked_at_any_moment(self, erased: Talk) -> None:
        last = erased.get().json()["version"]
        for version in range(1, last + 1):
            body = {"session_id": f"copy-{version}", "version": version}
            answer = erased.client.post(f"{erased.path}/fork", json=body)
            assert answer.status_code == 201, answer.text
        assert Talk(erased.client, "/v1/sessions/copy-7").contents() == ["kept 2", "kept 4"]

    def test_its_events_tell_their_place_and_nothing_else(self, erased: Talk) -> None:
        for events in (erased.trail(), erased.client.get("/v1/events").json()["items"]):
            assert SPOKEN not in json.dumps(events)
            gone = [event for event in events if "erased" in event["payload"]]
            assert [event["version"] for event in gone] == [2, 4, 6]
            for event in gone:
                assert list(event["payload"]) == ["erased"]
                assert list(event["payload"]["erased"]) == ["commitment"]
                assert (event["actor"], event["request_id"], event["idempotency_key"]) == (None, None, None)

    def test_the_audit_finds_them_by_what_is_left(self, erased: Talk) -> None:
        found = erased.client.get("/v1/audit", params={"session_id": "trip"})
        assert found.status_code == 200
        assert len(found.json()["items"]) == 8
        assert SPOKEN not in found.text
        lines = erased.client.get("/v1/audit", params={"user_id": "ana", "format": "ndjson"})
        assert lines.status_code == 200
        assert SPOKEN not in lines.text
        by_actor = erased.client.get("/v1/audit", params={"actor": "local"}).json()["items"]
        assert not [event for event in by_actor if "erased" in event["payload"]]

    def test_its_proof_holds_and_shows_what_is_left(
        self, erased: Talk, database: Database, tmp_path: Path
    ) -> None:
        take_checkpoints(database)
        erased.add("later")
        proof = erased.client.get(f"{erased.path}/proof").json()
        code, said = run_checker(proof, tmp_path)
        assert code == 0, said
        assert said.count("(erased)") == 3
        assert SPOKEN not in said
        assert "kept 2" in said
        assert "HOLDS: 9 events; covered by a checkpoint: up to version 8" in said

    def test_its_repeats_are_answered_without_what_was_erased(self, client: TestClient) -> None:
        talk = Talk(client, "/v1/sessions/trip")
        said = [
            {"role": "user", "content": SPOKEN, "user_id": "ana"},
            {"role": "user", "content": "kept", "user_id": "bob"},
        ]
        for _ in range(2):
            answer = talk.post({"messages": said}, **{"Idempotency-Key": "once"})
            assert answer.status_code == 201, answer.text
            purge_user = client.post("/v1/users/ana/purge", json={})
            assert purge_user.status_code in (200, 404)
        assert [message["content"] for message in answer.json()["messages"]] == ["kept"]
        assert talk.contents() == ["kept"]


class TestTheLogOfAPurgedOne:
    def test_the_log_keeps_places_and_says_that_it_ended(self, talk: Talk) -> None:
        talk.add(SPOKEN)
        stream_id = talk.trail()[0]["stream_id"]
        purge(talk.client, talk.path, reason="asked for")
        answer = talk.client.get("/v1/events")
        assert SPOKEN not in answer.text
        assert talk.name not in answer.text
        items = answer.json()["items"]
        assert [item["type"] for item in items] == [
            f"{talk.kind}.{what}" for what in ("started", "message-added", "purged")
        ]
        assert {item["stream_id"] for item in items} == {stream_id}
        assert items[-1]["payload"] == {"number": 1, "events": 2, "messages": 1, "reason": "asked for"}
        audited = talk.client.get("/v1/audit").json()["items"]
        assert audited == items
        causes: dict[str, Any] = {"causation_id": f"{stream_id}/1", "chain": True}
        assert talk.client.get("/v1/audit", params=causes).status_code == 200


def test_a_live_stream_goes_over_what_was_erased(conninfo: str) -> None:
    """From the beginning: erased events come in their places, as the log shows them."""
    with serve_on_port(conninfo) as service:
        service.say("/v1/sessions/gone", SPOKEN)
        service.say("/v1/sessions/kept", "kept")
        with service.follow() as stream:
            assert service.client.post("/v1/sessions/gone/purge", json={}).status_code == 200
            (record,) = stream.take(1)
            assert (record.event, record.data["payload"]["events"]) == ("session.purged", 2)
        wait_until(lambda: SPOKEN not in json.dumps(service.log()))
        with service.follow(after=0) as stream:
            assert [as_in_log(record) for record in stream.take(5)] == service.log()


class TestWebhooks:
    @pytest.fixture
    def served(self, conninfo: str) -> Iterator[TestClient]:
        with open_client(conninfo, webhooks_allow_private=True) as client:
            yield client

    def test_an_event_that_was_erased_meanwhile_is_sent_without_what_it_said(
        self, served: TestClient
    ) -> None:
        """Its place is told all the same, so that the receiver misses no position."""
        talk = Talk(served, "/v1/sessions/trip")
        talk.add(SPOKEN)
        purge(served, talk.path)
        with Receiver().running() as receiver:
            made = served.post("/v1/webhooks", json={"url": receiver.url, "from": 0})
            assert made.status_code == 201, made.text
            wait_until(lambda: len(receiver.received) == 3)
            assert receiver.events == served.get("/v1/events").json()["items"]
            assert not [one for one in receiver.received if SPOKEN.encode() in one.body]
        webhook = made.json()["id"]
        assert served.get(f"/v1/webhooks/{webhook}/deliveries").status_code == 200


def test_recorded_reads_lose_the_name(conninfo: str, database: Database) -> None:
    with open_client(conninfo, audit_reads=True) as client:
        talk = Talk(client, f"/v1/sessions/{SPOKEN}")
        talk.add("one")
        stream_id = talk.trail()[0]["stream_id"]
        talk.get()
        client.get("/v1/sessions/other")
        wait_until(lambda: len(page_reads(database, "default", Window()).items) == 3)
        purge(client, talk.path)
        told = client.get("/v1/audit/reads")
        assert SPOKEN not in told.text
        parameters = [read["parameters"] for read in told.json()["items"]]
        assert parameters.count({"session_id": "other"}) == 1
        assert sum(stream_id in json.dumps(one) for one in parameters) == 2


def test_two_purges_at_once_take_turns_or_say_so(client: TestClient) -> None:
    """Each thing goes once, whoever asked; who met the other one is told to wait."""
    for number in range(4):
        Talk(client, f"/v1/sessions/trip-{number}").add(SPOKEN)
    answers: list[Response] = []

    def ask(number: int) -> None:
        answers.append(client.post(f"/v1/sessions/trip-{number}/purge", json={}))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) <= {200, 503}
    assert len(receipts(client)) == statuses.count(200) > 0
