"""Zep's protocol, rule by rule, as its contract has it; § is the contract's section."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import pytest
from httpx2 import Response
from starlette.testclient import TestClient

from recountdb.api.app import create_app
from recountdb.api.settings import Settings
from recountdb.eventlog.postgres.database import Database

API = "/api/v1"
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{0,5}[1-9])?Z")
NO_BODY = "not found\n"
OK = "OK"


@dataclass(frozen=True)
class Zep:
    """Zep's API as a test calls it; a session or user of each test's own name."""

    client: TestClient
    sid: str
    uid: str

    def call(self, method: str, path: str, body: Any = None, **more: Any) -> Response:
        if body is not None:
            more["json"] = body
        answer = self.client.request(method, f"{API}{path}", **more)
        assert answer.headers["x-zep-version"].startswith("0.27.2-"), "on every answer"
        return answer

    def session(self, rest: str = "", sid: str | None = None) -> str:
        return f"/sessions/{quote(sid or self.sid, safe='')}{rest}"

    def start(self, **members: Any) -> dict[str, Any]:
        answer = self.call("POST", "/sessions", {"session_id": self.sid, **members})
        assert answer.status_code == 201, answer.text
        started: dict[str, Any] = answer.json()
        return started

    def get(self) -> dict[str, Any]:
        found: dict[str, Any] = self.call("GET", self.session()).json()
        return found

    def say(self, *contents: str, sid: str | None = None, **members: Any) -> None:
        messages = [{"role": "human", "content": content, **members} for content in contents]
        answer = self.call("POST", self.session("/memory", sid), {"messages": messages})
        assert (answer.status_code, answer.text) == (200, OK)

    def memory(self, **query: Any) -> list[dict[str, Any]]:
        answer = self.call("GET", self.session("/memory"), params=query)
        assert answer.status_code == 200, answer.text
        messages: list[dict[str, Any]] = answer.json()["messages"]
        return messages

    def summary(self, **query: Any) -> dict[str, Any]:
        answer = self.call("GET", self.session("/memory"), params=query)
        summary: dict[str, Any] = answer.json()["summary"]
        return summary

    def page(self, **query: Any) -> dict[str, Any]:
        answer = self.call("GET", self.session("/messages"), params=query)
        assert answer.status_code == 200, answer.text
        page: dict[str, Any] = answer.json()
        return page

    def search(self, *, limit: Any = None, **payload: Any) -> list[dict[str, Any]]:
        query = {} if limit is None else {"limit": limit}
        answer = self.call("POST", self.session("/search"), payload, params=query)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()
        return found

    def found(self, **payload: Any) -> list[str]:
        return contents([result["message"] for result in self.search(**payload)])

    def delete(self) -> Response:
        return self.call("DELETE", self.session("/memory"))

    def user(self, **members: Any) -> dict[str, Any]:
        answer = self.call("POST", "/user", {"user_id": self.uid, **members})
        assert answer.status_code == 201, answer.text
        created: dict[str, Any] = answer.json()
        return created

    def patch_user(self, body: Any) -> dict[str, Any]:
        answer = self.call("PATCH", f"/user/{self.uid}", body)
        assert answer.status_code == 200, answer.text
        changed: dict[str, Any] = answer.json()
        return changed


def contents(messages: list[dict[str, Any]]) -> list[str]:
    return [message["content"] for message in messages]


@pytest.fixture
def zep(shared: TestClient) -> Zep:
    return Zep(shared, f"session {uuid4()}", f"user-{uuid4()}")


@pytest.fixture
def own(client: TestClient) -> Zep:
    """On a database of the test's own, where it is the first."""
    return Zep(client, "s", "u")


def refused(answer: Response, status: int, reason: str = "") -> None:
    """A plain text, and a newline (§1.9)."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text.endswith("\n")
    assert reason in answer.text


# 1. Transport


class TestTransport:
    @pytest.mark.parametrize("path", ["//sessions/x/", "/sessions//x", "/sessions/x///"])
    def test_spare_slashes_do_not_count(self, zep: Zep, path: str) -> None:
        zep.start()
        answer = zep.call("GET", path.replace("x", quote(zep.sid)), follow_redirects=False)
        assert answer.json()["session_id"] == zep.sid

    @pytest.mark.parametrize(
        "name", ["a b", "ana@example.org", "x:y", "Ünïcödé ☕", "100%", "a/b", "A+b", "..."]
    )
    def test_names_are_any_text(self, zep: Zep, name: str) -> None:
        name += str(uuid4())
        zep.say("hello", sid=name)
        answer = zep.call("GET", zep.session(sid=name))
        assert answer.json()["session_id"] == name

    def test_names_differ_in_case(self, zep: Zep) -> None:
        zep.start()
        refused(zep.call("GET", zep.session(sid=zep.sid.upper())), 404)

    @pytest.mark.parametrize("type_", ["text/plain;charset=UTF-8", "application/x-www-form-urlencoded", ""])
    def test_a_body_is_json_whatever_it_is_called(self, zep: Zep, type_: str) -> None:
        text = f'{{"session_id": "{zep.sid}", "unknown": 1, "metadata": null}}'
        answer = zep.call("POST", "/sessions", content=text, headers={"Content-Type": type_})
        assert answer.status_code == 201

    @pytest.mark.parametrize("text", ["", "{", "[]", '"x"', "1", '{"metadata": []}', '{"metadata": "x"}'])
    def test_other_bodies_are_malformed(self, zep: Zep, text: str) -> None:
        zep.start()
        refused(zep.call("PATCH", zep.session(), content=text), 400, "bad request")

    def test_null_and_an_empty_object_say_nothing(self, zep: Zep) -> None:
        zep.start(metadata={"a": 1})
        for text in ("null", "{}"):
            assert zep.call("PATCH", zep.session(), content=text).json()["metadata"] == {"a": 1}

    @pytest.mark.parametrize("path", ["/sessions", "/user"])
    def test_numbers_in_queries(self, zep: Zep, path: str) -> None:
        everything = zep.call("GET", path).json()
        for query in ("limit=&cursor=", "limit=0&cursor=0", "limit=-1&cursor=-5"):
            assert zep.call("GET", f"{path}?{query}").json()[: len(everything)] == everything
        for query in ("limit=x", "cursor=1.5", "limit=99999999999999999999", "cursor=٣"):
            refused(zep.call("GET", f"{path}?{query}"), 400)

    def test_too_large_a_body(self, shared_conninfo: str) -> None:
        settings = Settings(body_bytes_max=2000)
        with TestClient(create_app(settings, shared_conninfo), base_url="http://127.0.0.1") as client:
            message = {"role": "user", "content": "x" * 2000}
            refused(client.post(f"{API}/sessions/s/memory", json={"messages": [message]}), 413)
            chunks = iter([b" " * 1500, b" " * 1500])
            refused(client.post(f"{API}/sessions/s/memory", content=chunks), 413)

    def test_unknown_addresses_and_methods(self, zep: Zep) -> None:
        refused(zep.call("GET", "/sessions/x/y"), 404, NO_BODY)
        refused(zep.call("GET", "/user/x/y/z"), 404, NO_BODY)
        refused(zep.call("GET", "/collection/x"), 404, NO_BODY)
        for method, path in (("DELETE", "/sessions/x"), ("DELETE", "/sessions"), ("PUT", "/user/x")):
            refused(zep.call(method, path), 405)
        assert zep.client.get(f"{API}/nothing").status_code == 404

    def test_health(self, zep: Zep) -> None:
        answer = zep.client.get("/healthz")
        assert (answer.status_code, answer.text) == (200, ".")
        assert answer.headers["content-type"].startswith("text/plain")
        assert re.fullmatch(r"0\.27\.2-\w+", answer.headers["x-zep-version"])
        assert zep.client.head("/healthz").status_code == 200

    def test_times_are_rfc_3339_in_utc(self, zep: Zep) -> None:
        started = zep.start()
        assert MOMENT.fullmatch(started["created_at"])
        assert MOMENT.fullmatch(started["updated_at"])

    def test_numbers_in_metadata_are_kept_exactly(self, zep: Zep) -> None:
        metadata = {"big": 2**60 + 1, "small": 1e-7, "one": 1.0}
        assert zep.start(metadata=metadata)["metadata"] == metadata


class TestKeys:
    @pytest.fixture
    def key(self, key_for: Callable[..., str]) -> str:
        return key_for("default")

    def test_without_a_key(self, own: Zep, key: str) -> None:
        refused(own.call("GET", "/sessions"), 401, "no token found")
        assert own.client.get("/healthz").text == "."

    def test_with_a_wrong_one(self, own: Zep, key: str) -> None:
        refused(
            own.call("GET", "/sessions", headers={"Authorization": "Bearer x"}), 401, "token is unauthorized"
        )
        refused(own.call("GET", "/sessions", headers={"Cookie": "jwt=x"}), 401, "token is unauthorized")

    @pytest.mark.parametrize(
        "header", ["Authorization: Bearer {}", "Authorization: bEARER {}", "Cookie: jwt={}"]
    )
    def test_with_a_right_one(self, own: Zep, key: str, header: str) -> None:
        name, _, value = header.format(key).partition(": ")
        assert own.call("GET", "/sessions", headers={name: value}).status_code == 200

    def test_a_key_that_only_reads(self, own: Zep, key_for: Callable[..., str]) -> None:
        headers = {"Authorization": f"Bearer {key_for('default', 'read')}"}
        assert own.call("GET", "/sessions", headers=headers).status_code == 200
        refused(own.call("POST", "/sessions", {"session_id": "s"}, headers=headers), 403)


# 4. Sessions


class TestSessions:
    def test_a_session_has_eight_members(self, own: Zep) -> None:
        started = own.start()
        assert started == {
            "uuid": started["uuid"],
            "id": 1,
            "session_id": "s",
            "user_id": None,
            "metadata": None,
            "created_at": started["created_at"],
            "updated_at": started["created_at"],
            "deleted_at": None,
        }
        assert str(UUID(started["uuid"])) == started["uuid"]
        assert own.get() == started

    def test_an_id_that_exists(self, zep: Zep) -> None:
        zep.start(metadata={"a": 1})
        again = {"session_id": zep.sid, "metadata": {"b": 1}}
        reason = f"bad request: session already exists with session_id: {zep.sid}\n"
        refused(zep.call("POST", "/sessions", again), 400, reason)
        assert zep.get()["metadata"] == {"a": 1}
        zep.delete()
        refused(zep.call("POST", "/sessions", again), 400, reason)

    @pytest.mark.parametrize("name", ["", None, "x" * 513, "a\nb"], ids=repr)
    def test_ids_that_cannot_be(self, zep: Zep, name: Any) -> None:
        refused(zep.call("POST", "/sessions", {"session_id": name}), 400)

    @pytest.mark.parametrize("user", ["", "nobody"])
    def test_a_user_that_is_not_there(self, zep: Zep, user: str) -> None:
        body = {"session_id": zep.sid, "user_id": user}
        refused(zep.call("POST", "/sessions", body), 400, f"user does not exist with user_id: {user}")
        refused(zep.call("GET", zep.session()), 404, NO_BODY)

    def test_metadata_are_kept_as_given(self, zep: Zep) -> None:
        metadata = {"system": {"a": None}, "list": [1, {"b": []}], "": ""}
        assert zep.start(metadata=metadata)["metadata"] == metadata

    def test_memory_begins_a_session_also_without_messages(self, zep: Zep) -> None:
        zep.say()
        assert zep.get()["user_id"] is None
        assert zep.get()["metadata"] is None

    @pytest.mark.parametrize("rest", ["", "/memory", "/messages"])
    def test_reading_begins_none(self, zep: Zep, rest: str) -> None:
        zep.call("GET", zep.session(rest))
        zep.call("POST", zep.session("/search"), {"text": "x"})
        refused(zep.call("GET", zep.session()), 404, NO_BODY)

    def test_a_patch_changes_metadata_only(self, zep: Zep) -> None:
        zep.user()
        started = zep.start(user_id=zep.uid, metadata={"a": 1})
        sent = {**started, "uuid": str(uuid4()), "session_id": "other", "user_id": "other", "id": 7}
        sent |= {"created_at": "2000-01-01T00:00:00Z", "metadata": {"b": 2}}
        changed = zep.call("PATCH", zep.session(), sent).json()
        assert changed == {**started, "metadata": {"a": 1, "b": 2}, "updated_at": changed["updated_at"]}
        assert changed["updated_at"] > started["updated_at"]

    @pytest.mark.parametrize("body", [{}, {"metadata": None}], ids=str)
    def test_a_patch_without_metadata_touches(self, zep: Zep, body: Any) -> None:
        started = zep.start()
        touched = zep.call("PATCH", zep.session(), body).json()
        assert touched == {**started, "updated_at": touched["updated_at"]}
        assert touched["updated_at"] > started["updated_at"]

    def test_a_patch_of_none(self, zep: Zep) -> None:
        refused(zep.call("PATCH", zep.session(), {"metadata": {"a": 1}}), 404, NO_BODY)

    def test_memory_moves_updated_at_and_nothing_else(self, zep: Zep) -> None:
        before = zep.start(metadata={"a": 1})
        for said in ([], ["hello"]):
            zep.say(*said)
            after = zep.get()
            assert after == {**before, "updated_at": after["updated_at"]}
            assert after["updated_at"] > before["updated_at"]
            before = after

    def test_the_list_goes_by_number(self, own: Zep) -> None:
        for name in "abcde":
            own.say("hi", sid=name)
        own.call("DELETE", "/sessions/c/memory")

        def listed(**query: int) -> list[str]:
            return [each["session_id"] for each in own.call("GET", "/sessions", params=query).json()]

        assert listed() == ["a", "b", "d", "e"]
        assert listed(limit=2) == ["a", "b"]
        assert listed(limit=2, cursor=2) == ["d", "e"]
        assert listed(cursor=4) == ["e"]
        assert listed(cursor=5) == listed(cursor=10**18) == []

    def test_numbers_are_dense_though_creations_fail(self, own: Zep) -> None:
        own.start()
        for _ in range(3):
            own.call("POST", "/sessions", {"session_id": "s"})
        own.say("hi", sid="t")
        assert [each["id"] for each in own.call("GET", "/sessions").json()] == [1, 2]

    def test_sessions_of_flows_are_not_zeps(self, own: Zep) -> None:
        """Another protocol's may have the same name in a scope of their own."""
        for scope in ("", "flow"):
            body = {"messages": [{"role": "user", "content": f"in {scope}"}]}
            own.client.post("/v1/sessions/s/messages", params={"scope": scope}, json=body).raise_for_status()
        assert len(own.call("GET", "/sessions").json()) == 1
        assert contents(own.memory()) == ["in "]


# 5. Memory


class TestMemory:
    def test_messages_come_back_in_order(self, zep: Zep) -> None:
        zep.say(*"abc")
        zep.say(*"de")
        assert contents(zep.memory()) == list("abcde")

    def test_a_message_in_full(self, zep: Zep) -> None:
        message_id = str(uuid4())
        message = {"uuid": message_id, "role": "", "content": "", "metadata": {"system": 1}, "token_count": 7}
        body: dict[str, Any] = {
            "messages": [{**message, "created_at": "2000-01-01T00:00:00Z"}],
            "metadata": {"x": 1},
        }
        body |= {"summary": {"content": "x"}, "uuid": str(uuid4()), "token_count": 1}
        assert zep.call("POST", zep.session("/memory"), body).text == OK
        (found,) = zep.memory()
        times = {name: found[name] for name in ("created_at", "updated_at")}
        assert found == {**message, **times}
        assert all(map(MOMENT.fullmatch, times.values()))
        assert found["created_at"] > "2020"
        assert zep.get()["metadata"] is None

    @pytest.mark.parametrize("message", [{"uuid": "x"}, None], ids=str)
    def test_malformed_messages(self, zep: Zep, message: Any) -> None:
        body = {"messages": [{"role": "ai", "content": "x"}, message]}
        refused(zep.call("POST", zep.session("/memory"), body), 400)
        refused(zep.call("GET", zep.session()), 404)

    def test_a_uuid_is_used_once(self, zep: Zep) -> None:
        """In whatever session; deleted ones count; the whole batch fails."""
        message_id = str(uuid4())
        zep.say("first", uuid=message_id)
        other = zep.session("/memory", sid=f"other {uuid4()}")
        batch = {
            "messages": [{"role": "a", "content": "x"}, {"role": "a", "content": "first", "uuid": message_id}]
        }
        for path in (zep.session("/memory"), other):
            refused(zep.call("POST", path, batch), 400)
        zep.delete()
        for path in (zep.session("/memory"), other):
            refused(zep.call("POST", path, batch), 400)
        refused(zep.call("GET", zep.session()), 404)
        twice = {"messages": [{"role": "a", "content": "x", "uuid": str(uuid4())}] * 2}
        refused(zep.call("POST", other, twice), 400)
        refused(zep.call("GET", other.removesuffix("/memory")), 404)

    def test_uuids_in_other_spellings_come_back_canonical(self, zep: Zep) -> None:
        message_id = uuid4()
        zep.say("hi", uuid=message_id.hex.upper())
        assert zep.memory()[0]["uuid"] == str(message_id)
        zep.say("nil means none", uuid=str(UUID(int=0)))
        assert zep.memory()[1]["uuid"] != str(UUID(int=0))

    def test_the_window(self, zep: Zep) -> None:
        zep.say(*map(str, range(20)))
        assert contents(zep.memory()) == [str(n) for n in range(8, 20)], "the newest 12, the oldest first"
        assert contents(zep.memory(lastn=0)) == contents(zep.memory(lastn="")) == contents(zep.memory())
        assert contents(zep.memory(lastn=3)) == ["17", "18", "19"]
        assert contents(zep.memory(lastn=10**15)) == [str(n) for n in range(20)]

    def test_another_window(self, zep: Zep, shared_conninfo: str) -> None:
        zep.say(*"abc")
        settings = Settings(zep_message_window=2)
        with TestClient(create_app(settings, shared_conninfo), base_url="http://127.0.0.1") as client:
            assert contents(Zep(client, zep.sid, "").memory()) == ["b", "c"]

    @pytest.mark.parametrize("lastn", ["x", "1.5", "-1"])
    def test_no_number_of_messages(self, zep: Zep, lastn: str) -> None:
        refused(zep.call("GET", zep.session("/memory"), params={"lastn": lastn}), 400)

    def test_a_summary_that_came_along(self, zep: Zep) -> None:
        """As an import leaves it: what comes after it is shown, until the message that it ends with goes."""
        end = str(uuid4())
        summary: dict[str, Any] = {
            "uuid": str(uuid4()),
            "created_at": "2024-05-01T10:00:00Z",
            "content": "They met.",
        }
        summary |= {"recent_message_uuid": end, "token_count": 2, "metadata": {"system": {"entities": []}}}
        zep.start(metadata={"zep": {"summary": summary}, "k": 1})
        assert zep.summary()["content"] == "", "the message that it ends with is not there"
        zep.say("1")
        zep.say("2", uuid=end)
        zep.say(*"34")
        assert contents(zep.memory()) == ["3", "4"]
        assert contents(zep.memory(lastn=3)) == ["2", "3", "4"]
        assert zep.summary() == zep.summary(lastn=3) == summary
        assert zep.get()["metadata"] == {"k": 1}
        native = f"/v1/sessions/{quote(zep.sid)}/messages/{end}"
        assert zep.client.delete(native).status_code == 200
        assert contents(zep.memory()) == ["1", "3", "4"]
        assert zep.summary()["content"] == ""

    def test_no_summary(self, zep: Zep) -> None:
        zep.say("hi")
        nobody = "00000000-0000-0000-0000-000000000000"
        assert zep.call("GET", zep.session("/memory")).json()["summary"] == {
            "uuid": nobody,
            "created_at": "0001-01-01T00:00:00Z",
            "content": "",
            "recent_message_uuid": nobody,
            "token_count": 0,
        }

    @pytest.mark.parametrize("sid", ["unknown", "x" * 600, "a\tb"])
    def test_memory_of_an_unknown_session_is_empty(self, zep: Zep, sid: str) -> None:
        answer = zep.call("GET", zep.session("/memory", sid))
        assert (answer.status_code, answer.json()["messages"]) == (200, [])


# 6. Messages


class TestMessages:
    def test_pages_by_number(self, zep: Zep) -> None:
        zep.say(*map(str, range(15)))

        def page(**query: Any) -> tuple[list[str], int, int]:
            answer = zep.page(**query)
            return contents(answer["messages"]), answer["total_count"], answer["row_count"]

        everything = [str(n) for n in range(15)]
        assert page() == (everything, 15, 15)
        assert page(limit=10) == (everything[:10], 15, 10)
        assert page(limit=10, cursor=2) == (everything[10:], 15, 5)
        assert page(limit=10, cursor=3) == ([], 0, 0)
        assert page(limit=10, cursor=2**62) == ([], 0, 0)
        assert page(limit="x", cursor="y") == (everything, 15, 15)
        assert page(limit=5, cursor="y") == (everything[:5], 15, 5)

    def test_a_size_that_is_none_is_100(self, zep: Zep) -> None:
        zep.say(*["x"] * 101)
        assert zep.page(limit="x")["row_count"] == 100
        assert zep.page()["row_count"] == 101

    def test_of_an_unknown_session(self, zep: Zep) -> None:
        nothing = {"messages": [], "total_count": 0, "row_count": 0}
        assert zep.page() == nothing
        zep.say("hi")
        zep.delete()
        assert zep.page() == nothing

    def test_one(self, zep: Zep) -> None:
        zep.say("a", "b")
        message = zep.memory()[1]
        assert zep.call("GET", zep.session(f"/messages/{message['uuid']}")).json() == message

    @pytest.mark.parametrize("method", ["GET", "PATCH"])
    def test_one_that_is_not_there(self, zep: Zep, method: str) -> None:
        other = Zep(zep.client, f"other {uuid4()}", "")
        for each in (zep, other):
            each.say("x")
        theirs = other.memory()[0]["uuid"]
        body = {"metadata": {"a": 1}} if method == "PATCH" else None
        for place in (f"/messages/{uuid4()}", f"/messages/{theirs}"):
            refused(zep.call(method, zep.session(place), body), 404, NO_BODY)
        refused(zep.call(method, zep.session("/messages/x"), body), 400)
        other.delete()
        refused(zep.call(method, other.session(f"/messages/{theirs}"), body), 404, NO_BODY)

    def test_metadata_merge_and_nothing_else_changes(self, zep: Zep) -> None:
        zep.say("hi", metadata={"a": {"b": 1}}, token_count=5)
        message = zep.memory()[0]
        path = zep.session(f"/messages/{message['uuid']}")
        body: dict[str, Any] = {
            "role": "x",
            "content": "x",
            "uuid": str(uuid4()),
            "created_at": "2000-01-01T00:00:00Z",
        }
        body |= {"token_count": 9, "metadata": {"a": {"c": 2}, "system": {"x": 1}}}
        changed = zep.client.patch(f"{API}{path}", content=json.dumps(body)).json()
        assert changed["updated_at"] > message["updated_at"]
        merged = {"metadata": {"a": {"b": 1, "c": 2}}, "updated_at": changed["updated_at"]}
        assert changed == {**message, **merged} == zep.memory()[0]
        assert zep.found(metadata={"where": {"jsonpath": "$.a.c ? (@ == 2)"}}) == ["hi"]

    @pytest.mark.parametrize(
        "body", [{}, {"metadata": None}, {"metadata": {}}, {"metadata": {"system": 1}}], ids=str
    )
    def test_a_patch_of_nothing(self, zep: Zep, body: Any) -> None:
        zep.say("hi")
        message = zep.memory()[0]
        answer = zep.call("PATCH", zep.session(f"/messages/{message['uuid']}"), body)
        assert (answer.status_code, answer.json()) == (200, message)


# 7. Metadata

MERGES: list[tuple[Any, Any, Any]] = [
    ({"a": {"b": {"c": 1}}}, {"a": {"b": {"d": 2}}}, {"a": {"b": {"c": 1, "d": 2}}}),
    ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
    ({"a": 1, "b": True, "c": "x"}, {"a": 0, "b": False, "c": ""}, {"a": 0, "b": False, "c": ""}),
    ({"a": [1], "b": "x"}, {"a": [], "b": {}}, {"a": [], "b": {}}),
    ({"a": {"b": 1}}, {"a": 5}, {"a": 5}),
    ({"a": 5}, {"a": {"b": 1}}, {"a": {"b": 1}}),
    ({"a": 1, "b": 2}, {"a": None}, {"a": None, "b": 2}),
    (None, {"a": 1}, {"a": 1}),
    ({"a": None}, {"a": {"b": 1}}, {"a": {"b": 1}}),
    ({"a": {"system": 1}}, {"a": {"system": {"b": 2}}}, {"a": {"system": {"b": 2}}}),
]


@pytest.fixture(params=["session", "message", "user"])
def merge(request: pytest.FixtureRequest, zep: Zep) -> Callable[[Any, Any], Any]:
    """Makes a session, message or user with metadata, merges others; returns what these are then."""

    def of_session(old: Any, patch: Any) -> Any:
        zep.start(metadata=old)
        return zep.call("PATCH", zep.session(), {"metadata": patch}).json()["metadata"]

    def of_message(old: Any, patch: Any) -> Any:
        zep.say("hi", metadata=old)
        path = zep.session(f"/messages/{zep.memory()[0]['uuid']}")
        return zep.call("PATCH", path, {"metadata": patch}).json().get("metadata")

    def of_user(old: Any, patch: Any) -> Any:
        zep.user(metadata=old)
        return zep.patch_user({"metadata": patch}).get("metadata")

    return {"session": of_session, "message": of_message, "user": of_user}[request.param]


@pytest.mark.parametrize(("old", "patch", "merged"), MERGES, ids=str)
def test_metadata_merge_deeply(merge: Callable[[Any, Any], Any], old: Any, patch: Any, merged: Any) -> None:
    assert merge(old, patch) == merged


@pytest.mark.parametrize("old", [None, {"a": 1}], ids=str)
def test_an_empty_patch_changes_nothing(merge: Callable[[Any, Any], Any], old: Any) -> None:
    assert merge(old, {}) == old


def test_system_is_kept_from_sessions_and_messages_but_not_users(
    request: pytest.FixtureRequest, merge: Callable[[Any, Any], Any]
) -> None:
    merged = merge({"system": 1, "a": 1}, {"system": 2, "a": 2})
    is_user = "user" in request.node.name.rpartition("[")[2]
    assert merged == {"system": 2 if is_user else 1, "a": 2}


def test_a_patch_with_system_alone_is_a_no_op(zep: Zep) -> None:
    started = zep.start(metadata={"a": 1})
    answer = zep.call("PATCH", zep.session(), {"metadata": {"system": 2}})
    assert (answer.status_code, answer.json()) == (200, started)


def test_concurrent_patches_are_all_kept(zep: Zep) -> None:
    zep.say("hi")
    zep.user()
    message = zep.session(f"/messages/{zep.memory()[0]['uuid']}")
    places = [zep.session(), message, f"/user/{zep.uid}"] * 10
    with ThreadPoolExecutor(8) as threads:
        answers = list(
            threads.map(
                lambda n: zep.call("PATCH", places[n], {"metadata": {"all": {str(n): n}}}), range(len(places))
            )
        )
    assert {answer.status_code for answer in answers} == {200}
    for start, place in enumerate(places[:3]):
        merged = zep.call("GET", place).json()["metadata"]["all"]
        assert merged == {str(n): n for n in range(start, len(places), 3)}


def test_concurrent_first_messages_are_all_kept(zep: Zep) -> None:
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda n: zep.say(f"{n} a", f"{n} b"), range(20)))
    said = contents(zep.page()["messages"])
    assert sorted(said) == sorted(f"{n} {letter}" for n in range(20) for letter in "ab")
    assert all(said[i][:-1] == said[i + 1][:-1] for i in range(0, 40, 2)), "each batch in one piece"


# 8. Deletion


class TestDeletion:
    def test_what_is_deleted_cannot_be_seen(self, zep: Zep) -> None:
        zep.user()
        zep.start(user_id=zep.uid)
        zep.say("secret")
        message = zep.memory()[0]["uuid"]
        answer = zep.delete()
        assert (answer.status_code, answer.text) == (200, OK)
        refused(zep.call("GET", zep.session()), 404, NO_BODY)
        refused(zep.call("GET", zep.session(f"/messages/{message}")), 404, NO_BODY)
        assert zep.memory() == zep.memory(lastn=5) == zep.search(text="secret") == []
        assert zep.page()["total_count"] == 0
        assert zep.call("GET", f"/user/{zep.uid}/sessions").json() == []
        assert zep.sid not in zep.call("GET", "/sessions").text
        refused(zep.delete(), 404, NO_BODY)

    def test_none_to_delete(self, zep: Zep) -> None:
        refused(zep.delete(), 404, NO_BODY)

    @pytest.mark.parametrize("body", [{"metadata": {"b": 2}}, {"metadata": {}}, {}], ids=str)
    def test_a_patch_undeletes(self, zep: Zep, body: Any) -> None:
        self.check_undeleted(zep, lambda: zep.call("PATCH", zep.session(), body), said=[])

    @pytest.mark.parametrize("said", [["new"], []], ids=str)
    def test_memory_undeletes(self, zep: Zep, said: list[str]) -> None:
        self.check_undeleted(zep, lambda: zep.say(*said), said=said)

    @staticmethod
    def check_undeleted(zep: Zep, write: Callable[[], Any], *, said: list[str]) -> None:
        zep.user()
        started = zep.start(user_id=zep.uid, metadata={"a": 1})
        zep.say("old")
        zep.delete()
        write()
        found = zep.get()
        assert found["metadata"].pop("a") == 1
        assert {**found, "metadata": {"a": 1}} == {**started, "updated_at": found["updated_at"]}
        assert contents(zep.memory()) == contents(zep.page()["messages"]) == said
        assert zep.found(text="old new") == said
        assert zep.page()["total_count"] == len(said)

    def test_after_purge_the_id_is_free(self, zep: Zep) -> None:
        started = zep.start()
        zep.say("old")
        zep.delete()
        zep.client.post("/v1/purges", json={"older_than_days": 0}).raise_for_status()
        again = zep.start()
        assert again["uuid"] != started["uuid"]
        assert again["id"] > started["id"]
        assert zep.memory() == []


# 9. Users


class TestUsers:
    def test_a_user_in_full(self, own: Zep) -> None:
        members = {"email": "a@b", "first_name": "Ana", "last_name": "Lima", "metadata": {"system": 1}}
        created = own.user(**members)
        times = {name: created[name] for name in ("created_at", "updated_at")}
        assert created == {
            "uuid": created["uuid"],
            "id": 1,
            "user_id": "u",
            "deleted_at": None,
            **members,
            **times,
        }
        assert own.call("GET", "/user/u").json() == created

    def test_what_is_empty_is_left_out(self, zep: Zep) -> None:
        created = zep.user(email="", first_name=None, metadata={})
        assert created.keys() == {"uuid", "id", "created_at", "updated_at", "deleted_at", "user_id"}

    def test_ids_that_cannot_be(self, zep: Zep) -> None:
        zep.user()
        exists = f"bad request: user already exists with user_id: {zep.uid}\n"
        refused(zep.call("POST", "/user", {"user_id": zep.uid}), 400, exists)
        for body in ({}, {"user_id": ""}, {"user_id": None}):
            refused(zep.call("POST", "/user", body), 400, "UserID cannot be empty")
        refused(zep.call("POST", "/user", {"user_id": "x" * 513}), 400)

    def test_a_patch_is_partial(self, zep: Zep) -> None:
        created = zep.user(email="a@b", first_name="Ana", metadata={"a": 1})
        sent = {"email": "", "first_name": None, "last_name": "Lima", "user_id": "x", "uuid": str(uuid4())}
        changed = zep.patch_user(sent)
        assert changed == {**created, "last_name": "Lima", "updated_at": changed["updated_at"]}
        refused(zep.call("PATCH", "/user/nobody", {"email": "x"}), 404, NO_BODY)
        refused(zep.call("GET", "/user/nobody"), 404, NO_BODY)

    def test_the_list_goes_by_number(self, own: Zep) -> None:
        for name in "abc":
            own.call("POST", "/user", {"user_id": name, "email": "same@b"})

        def listed(query: str = "") -> list[str]:
            return [each["user_id"] for each in own.call("GET", f"/user{query}").json()]

        assert listed() == listed("?limit=&cursor=") == ["a", "b", "c"]
        assert listed("?limit=1&cursor=1") == ["b"]
        assert listed("?cursor=3") == []

    def test_sessions_of_a_user(self, zep: Zep) -> None:
        zep.user()
        assert zep.call("GET", f"/user/{zep.uid}/sessions").json() == []
        started = zep.start(user_id=zep.uid)
        zep.say("nobody's", sid=f"other {uuid4()}")
        assert zep.call("GET", f"/user/{zep.uid}/sessions").json() == [started]
        assert zep.call("GET", "/user/nobody/sessions").json() == []

    def test_deletion_is_for_good(self, zep: Zep, shared_conninfo: str) -> None:
        zep.user(last_name="quokka")
        zep.start(user_id=zep.uid, metadata={"said": "quokka"})
        zep.say("quokka")
        gone, other = (Zep(zep.client, f"{name} {uuid4()}", zep.uid) for name in ("gone", "other"))
        gone.start(user_id=zep.uid)
        gone.say("quokka")
        gone.delete()
        other.say("hi")
        answer = zep.call("DELETE", f"/user/{zep.uid}")
        assert (answer.status_code, answer.text) == (200, OK)
        refused(zep.call("DELETE", f"/user/{zep.uid}"), 404, NO_BODY)
        refused(zep.call("GET", zep.session()), 404, NO_BODY)
        assert contents(other.memory()) == ["hi"]
        for each in (zep, gone):
            each.user() if each is zep else None
            each.start()
            assert each.memory() == []
        assert not_recorded("quokka", shared_conninfo)

    def test_parallel_deletions_do_not_disturb_each_other(self, zep: Zep) -> None:
        names = [f"{zep.uid}-{n}" for n in range(6)]
        for name in names:
            zep.call("POST", "/user", {"user_id": name})
        with ThreadPoolExecutor(6) as threads:
            answers = list(threads.map(lambda name: zep.call("DELETE", f"/user/{name}").text, names))
        assert answers == [OK] * 6

    def test_a_legal_hold_keeps_everything(self, zep: Zep) -> None:
        zep.user()
        zep.start(user_id=zep.uid)
        kept = Zep(zep.client, f"kept {uuid4()}", zep.uid)
        kept.start(user_id=zep.uid)
        held = zep.client.put(f"/v1{kept.session()}/hold", json={"reason": "case 7"})
        held.raise_for_status()
        refused(zep.call("DELETE", f"/user/{zep.uid}"), 409)
        assert len(zep.call("GET", f"/user/{zep.uid}/sessions").json()) == 2


def not_recorded(word: str, conninfo: str) -> bool:
    """Whether no event holds ``word`` any more."""
    database = Database(conninfo)
    database.open()
    try:
        ((count,),) = database.fetch(
            "SELECT count(*) FROM stored_events AS e WHERE e::text LIKE %s", [f"%{word}%"]
        )
    finally:
        database.close()
    return bool(count == 0)


# 9. Search


class TestSearch:
    @pytest.fixture
    def talk(self, zep: Zep) -> Zep:
        zep.say("I like tea", metadata={"n": 1, "tags": ["hot"], "system": {"entities": [{"Label": "DATE"}]}})
        zep.say("Coffee is what I like", metadata={"n": 2, "it's": True})
        zep.say("Rain again", metadata={"n": 3})
        zep.say("No metadata here")
        return zep

    def test_text_ranks_and_does_not_filter(self, talk: Zep) -> None:
        found = talk.search(text="I like coffee")
        said = contents([result["message"] for result in found])
        assert said == ["Coffee is what I like", "I like tea", "No metadata here", "Rain again"]
        dists = [result["dist"] for result in found]
        assert dists == sorted(dists, reverse=True)
        assert 0 < dists[1] < dists[0] < 1
        assert dists[2:] == [0, 0]

    def test_the_same_words_are_1(self, talk: Zep) -> None:
        assert talk.search(text="TEA, I like!")[0]["dist"] == pytest.approx(1)

    def test_a_result(self, talk: Zep) -> None:
        (result,) = talk.search(text="rain", limit=1)
        (message,) = (each for each in talk.memory() if each["content"] == "Rain again")
        assert result == {"message": message, "summary": None, "dist": result["dist"], "embedding": None}

    def test_limits(self, zep: Zep) -> None:
        zep.say(*[f"tea {n}" for n in range(15)])
        assert len(zep.search(text="tea")) == len(zep.search(text="tea", limit=0)) == 10
        assert len(zep.search(text="tea", limit="")) == 10
        assert len(zep.search(text="tea", limit=-1)) == len(zep.search(text="tea", limit=10**15)) == 15
        refused(zep.call("POST", f"{zep.session('/search')}?limit=x", {"text": "tea"}), 400)

    def test_metadata_alone_the_newest_first(self, talk: Zep) -> None:
        found = talk.search(metadata={"where": {"jsonpath": "$.n"}})
        assert contents([result["message"] for result in found]) == [
            "Rain again",
            "Coffee is what I like",
            "I like tea",
        ]
        assert {result["dist"] for result in found} == {0}

    @pytest.mark.parametrize(
        ("where", "numbers"),
        [
            ({"jsonpath": "$.n ? (@ > 1)"}, [3, 2]),
            ({"jsonpath": '$.system.entities[*] ? (@.Label == "DATE")'}, [1]),
            ({"jsonpath": "$.system.entities[*] ? (@.Label == 'DATE')"}, [1]),
            ({"jsonpath": '$.tags[*] ? (@ == "hot")'}, [1]),
            ({"and": [{"jsonpath": "$.n ? (@ > 1)"}, {"jsonpath": "$.n ? (@ < 3)"}]}, [2]),
            ({"or": [{"jsonpath": "$.n ? (@ == 1)"}, {"jsonpath": "$.n ? (@ == 3)"}]}, [3, 1]),
            ({"or": [{"jsonpath": "$.tags"}, {"and": [{"jsonpath": "$.n"}, {"jsonpath": "$.x"}]}]}, [1]),
            ({"jsonpath": "$.n ? (@ > 1)", "or": [{"jsonpath": "$.n ? (@ < 3)"}]}, [2]),
            ({"jsonpath": "$.nothing"}, []),
            (None, [None, 3, 2, 1]),
            ({}, [None, 3, 2, 1]),
            ({"and": [], "or": None}, [None, 3, 2, 1]),
        ],
        ids=str,
    )
    def test_where(self, talk: Zep, where: Any, numbers: list[int | None]) -> None:
        found = talk.search(metadata={"where": where, "other": "is ignored"})
        assert [result["message"].get("metadata", {}).get("n") for result in found] == numbers

    def test_filter_then_rank(self, talk: Zep) -> None:
        assert talk.found(text="rain tea", metadata={"where": {"jsonpath": "$.n ? (@ < 3)"}}) == [
            "I like tea",
            "Coffee is what I like",
        ]

    def test_dates_are_inclusive(self, zep: Zep) -> None:
        for word in "abc":
            zep.say(word)
        times = [message["created_at"] for message in zep.memory()]
        assert zep.found(metadata={"start_date": times[1]}) == ["c", "b"]
        assert zep.found(metadata={"end_date": times[1]}) == ["b", "a"]
        assert zep.found(metadata={"start_date": times[1], "end_date": times[1]}) == ["b"]
        assert zep.found(text="a", metadata={"start_date": "tomorrow"}) == []
        tomorrow = f"{datetime.now(UTC) + timedelta(days=1):%d %B %Y}"
        assert zep.found(text="a", metadata={"end_date": tomorrow, "start_date": None}) == ["a", "c", "b"]

    def test_mmr_prefers_what_adds_something(self, zep: Zep) -> None:
        zep.say("green tea please", "green tea please now", "black tea", "rain")
        similar = zep.found(text="green tea please", limit=3)
        assert similar == ["green tea please", "green tea please now", "black tea"]
        diverse = {"text": "green tea please", "search_type": "mmr", "limit": 3}
        assert zep.found(**diverse, mmr_lambda=0.3)[:2] == ["green tea please", "rain"]
        assert zep.found(**diverse, mmr_lambda=1) == similar
        for default in (None, 0, 0.5):
            assert zep.found(**diverse, mmr_lambda=default) == zep.found(**diverse)

    @pytest.mark.parametrize(
        "payload",
        [
            {},
            {"text": "x", "metadata": {"where": {"jsonpath": "$$$"}}},
            {"text": "x", "metadata": {"where": {"jsonpath": "strict $.nothing"}}},
            {"text": "x", "metadata": {"where": {"jsonpath": '$ ? (@ == "\x00")'}}},
            {"text": "x", "metadata": {"where": {"jsonpath": "$." + "a" * 10_001}}},
            {"text": "x", "metadata": {"where": {"or": [{"jsonpath": "$.a"}] * 201}}},
            {"text": "x", "metadata": {"start_date": "never"}},
            {"text": "x", "metadata": {"end_date": "2026-13-13"}},
        ],
        ids=lambda payload: str(payload)[:60],
    )
    def test_searches_that_cannot_be(self, talk: Zep, payload: Any) -> None:
        refused(talk.call("POST", talk.session("/search"), payload), 400, "bad request")

    @pytest.mark.parametrize(
        "text", ["???", " ", "' OR 1=1 --", "a & b | !c", "x" * 50_000, "/a?b=c&d", "<->"]
    )
    def test_any_text_will_do(self, talk: Zep, text: str) -> None:
        assert len(talk.search(text=text)) == 4

    def test_text_in_messages_too_long_to_be_indexed_whole(self, zep: Zep) -> None:
        zep.say(" ".join(f"word{n}" for n in range(300_000)), "tea")
        assert zep.search(text="word7", limit=1)[0]["message"]["content"].startswith("word0")

    def test_scopes(self, talk: Zep) -> None:
        assert (
            len(talk.search(text="tea", search_scope=""))
            == len(talk.search(text="tea", search_scope=None))
            == 4
        )
        assert talk.search(text="tea", search_scope="summary") == []

    def test_one_session_alone(self, talk: Zep) -> None:
        other = Zep(talk.client, f"other {uuid4()}", "")
        assert other.search(text="tea") == []
        other.say("tea")
        assert len(talk.search(text="tea")) == 4

    def test_what_was_said_natively_is_found_and_shown(self, zep: Zep) -> None:
        """A conversation is one, whichever protocol wrote it."""
        parts = [
            {"type": "text", "text": "Two teas"},
            {"type": "image_url", "image_url": {"url": "x"}},
            "please",
        ]
        body = {"messages": [{"role": "user", "content": parts}, {"role": "tool", "tool_calls": [1]}]}
        zep.client.post(f"/v1{zep.session('/messages')}", json=body).raise_for_status()
        assert contents(zep.memory()) == ["Two teas\nplease", ""]
        first = zep.search(text="teas please")[0]
        assert first["message"]["content"] == "Two teas\nplease"
        assert first["dist"] > 0.8


def test_what_zep_writes_is_read_and_audited_natively(zep: Zep) -> None:
    zep.start(metadata={"a": 1})
    zep.say("hi", metadata={"b": 2})
    zep.delete()
    path = f"/v1{zep.session()}"
    trail = zep.client.get(f"{path}/events").json()["items"]
    assert [event["type"] for event in trail] == [
        "session.started",
        "session.message-added",
        "session.deleted",
    ]
    zep.client.post(f"{path}/undelete").raise_for_status()
    (message,) = zep.client.get(f"{path}/messages").json()["items"]
    assert (message["content"], message["metadata"]) == ("hi", {"b": 2})
    assert contents(zep.memory()) == ["hi"]


def test_switched_off(shared_conninfo: str) -> None:
    settings = Settings(protocols="none")  # type: ignore[arg-type]
    with TestClient(create_app(settings, shared_conninfo), base_url="http://127.0.0.1") as client:
        assert client.get("/healthz").status_code == 404
        assert client.get(f"{API}/sessions").status_code == 404
