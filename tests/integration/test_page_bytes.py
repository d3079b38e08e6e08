"""What is read at a time is bounded in bytes: pages, batches of followers, live streams, the past."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from psycopg.conninfo import make_conninfo
from starlette.testclient import TestClient

from recountdb.api.app import create_app
from recountdb.api.http.long_answers import Answer
from recountdb.api.services import fork as forking
from recountdb.api.settings import Settings
from recountdb.domain.commands.conversations import AddMessages
from recountdb.domain.events import Context
from recountdb.domain.messages import Message
from recountdb.domain.sessions import Session
from recountdb.eventlog.application import Recount
from recountdb.eventlog.log.order import settled_position
from recountdb.eventlog.log.rows import LogEntry
from recountdb.eventlog.postgres.database import Connection, Database
from recountdb.projections.followers import follower as follow
from recountdb.projections.followers.follower import advance, create_checkpoint
from recountdb.projections.lists.paging import PAGE_BYTES_MAX
from recountdb.projections.queries import diff as difference
from tests.support.background_server import run_server
from tests.support.keys import make_key
from tests.support.postgres import new_database
from tests.support.processes import wait_until

LARGE = 1_900_000
COUNT = 5
ON_A_PAGE = 3  # then there are 4 MiB

DICE = random.Random(7)

TEXTS: dict[str, str] = {"alike": "x" * LARGE, "random": DICE.randbytes(LARGE // 2).hex()}
"""Of which PostgreSQL stores one in a hundredth of its bytes, the other hardly smaller."""

PATHS = [
    "/v1/sessions/long/messages",
    "/v1/sessions/long/messages?as_of=6",
    "/v1/sessions/long/events",
    "/v1/messages",
    "/v1/events?type=session.message-added",
    "/v1/audit?type=session.message-added",
]


def add(client: TestClient, content: str, name: str = "long") -> str:
    body = {"messages": [{"role": "user", "content": content}]}
    answer = client.post(f"/v1/sessions/{name}/messages", json=body)
    assert answer.status_code == 201, answer.text
    added: str = answer.json()["messages"][0]["id"]
    return added


def pages(client: TestClient, path: str, **query: Any) -> Iterator[list[Any]]:
    """All pages of a list by its cursors."""
    cursor: str | None = None
    while True:
        params = {**query, **({"cursor": cursor} if cursor else {})}
        answer = client.get(path, params=httpx2.URL(path).params.merge(params))
        assert answer.status_code == 200, answer.text
        yield answer.json()["items"]
        cursor = answer.json()["next_cursor"]
        if cursor is None:
            return


@pytest.fixture(scope="module", params=TEXTS)
def kind(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture(scope="module")
def filled(server: str, template: str, kind: str) -> Iterator[TestClient]:
    """Yield a client of a store with one session of large texts, which tests only read."""
    with new_database(server, template=template) as name:
        app = create_app(Settings(), make_conninfo(server, dbname=name))
        with TestClient(app, base_url="http://127.0.0.1") as client:
            for _ in range(COUNT):
                add(client, TEXTS[kind])
            yield client


class TestPages:
    @pytest.mark.parametrize("order", ["oldest", "newest"])
    @pytest.mark.parametrize("path", PATHS)
    def test_one_ends_early_and_the_cursor_goes_on(self, filled: TestClient, path: str, order: str) -> None:
        found = list(pages(filled, path, order=order, limit=100))
        large = [[item for item in page if item.get("type") != "session.started"] for page in found]
        assert max(map(len, large)) <= ON_A_PAGE
        versions = [item["version"] for page in large for item in page]
        assert versions == sorted(range(2, COUNT + 2), reverse=order == "newest")

    def test_json_lines_have_them_all(self, filled: TestClient) -> None:
        answer = filled.get("/v1/audit?format=ndjson&type=session.message-added")
        assert len(answer.text.splitlines()) == COUNT

    def test_so_has_a_replay(self, filled: TestClient) -> None:
        answer = filled.get("/v1/sessions/long/replay?speed=max")
        assert answer.text.count("event: session.message-added") == COUNT


@pytest.mark.parametrize("kind", ["session", "thread", "user"])
@pytest.mark.parametrize("order", ["oldest", "newest"])
def test_large_metadata_are_bounded_too(client: TestClient, kind: str, order: str) -> None:
    for text in TEXTS.values():
        for _ in range(2):
            body = {f"{kind}_id": str(uuid4()), "metadata": {"text": text}}
            assert client.post(f"/v1/{kind}s", json=body).status_code == 201
    found = list(pages(client, f"/v1/{kind}s", order=order))
    assert [len(page) for page in found] == [ON_A_PAGE, 1]
    numbers = [item["number"] for page in found for item in page]
    assert numbers == sorted([1, 2, 3, 4], reverse=order == "newest")


def test_an_item_that_is_larger_than_a_page_comes_alone(client: TestClient) -> None:
    for _ in range(3):
        add(client, "x" * (PAGE_BYTES_MAX + 1))
    assert [len(page) for page in pages(client, "/v1/sessions/long/messages")] == [1, 1, 1]


def test_a_page_of_ordinary_texts_is_full(client: TestClient) -> None:
    """Though they are compressed, and weigh more than they are."""
    words = ["coffee", "latte", "please", "with", "oat", "milk", "and", "no", "sugar", "today"]
    for _ in range(10):
        messages = [{"role": "user", "content": " ".join(DICE.choices(words, k=4000))} for _ in range(10)]
        client.post("/v1/sessions/long/messages", json={"messages": messages})
    assert [len(page) for page in pages(client, "/v1/sessions/long/messages", limit=100)] == [100]
    assert [len(page) for page in pages(client, "/v1/sessions/long/events", limit=200)] == [101]


def test_what_was_edited_counts_as_it_was_then(client: TestClient) -> None:
    ids = [add(client, "short") for _ in range(COUNT)]
    for message_id in ids:
        for text in (TEXTS["random"], TEXTS["alike"]):
            path = f"/v1/sessions/long/messages/{message_id}"
            assert client.patch(path, json={"content": text}).status_code == 200
    now = 1 + 3 * COUNT
    found = list(pages(client, f"/v1/sessions/long/messages?as_of={now}", order="oldest"))
    assert [len(page) for page in found] == [ON_A_PAGE, COUNT - ON_A_PAGE]
    assert {item["content"] for page in found for item in page} == {TEXTS["alike"]}
    (before,) = pages(client, f"/v1/sessions/long/messages?as_of={1 + COUNT}")
    assert [item["content"] for item in before] == ["short"] * COUNT


Say = Callable[..., None]


@pytest.fixture
def say(application: Recount, context: Callable[..., Context]) -> Say:
    """Adds messages to a session."""

    def say(*contents: str) -> None:
        messages = [Message(id=uuid4(), role="user", content=content) for content in contents]
        application.execute(AddMessages(kind=Session.KIND, name="long", messages=messages), context())

    return say


class TestBatches:
    def test_the_log_says_what_it_left_out(self, application: Recount, say: Say) -> None:
        say("a", "b", "c")
        select = application.log.select_project
        for weight_max, count in ((1, 1), (None, 4), (2**20, 4)):
            entries = select("default", gt=0, lt=100, limit=10, weight_max=weight_max)
            assert (len(entries), entries.is_cut) == (count, count < 4)
        assert not select("default", gt=4, lt=100, limit=10).is_cut

    def test_a_follower_gets_a_few_at_a_time_and_each_once(
        self, database: Database, say: Say, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(follow, "BATCH_WEIGHT_MAX", 1)
        say("a", "b", "c")
        batches: list[list[int]] = []

        class Notebook:
            name, topics, begins_now = "notebook", None, False

            def handle(self, connection: Connection, entries: Sequence[LogEntry]) -> None:
                batches.append([entry.id for entry in entries])

        with database.connection() as connection:
            create_checkpoint(connection, Notebook())
            while advance(connection, Notebook(), settled_position(connection)):
                pass
        assert batches == [[1], [2], [3], [4]]

    def test_a_listener_gets_all_though_a_few_at_a_time(self, conninfo: str) -> None:
        with run_server(conninfo, Settings()) as address, httpx2.Client(base_url=address) as client:
            body = {"messages": [{"role": "user", "content": TEXTS["random"]}]}
            for _ in range(COUNT):
                client.post("/v1/sessions/long/messages", json=body)
            with client.stream("GET", "/v1/events/stream?after=0", timeout=60) as answer:
                ids: list[int] = []
                for line in answer.iter_lines():
                    ids += [int(line[4:])] if line.startswith("id: ") else []
                    if len(ids) == COUNT + 1:
                        break
        assert ids == list(range(1, COUNT + 2))


class TestTooLarge:
    def test_a_difference(self, client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(difference, "EVENTS_BYTES_MAX", 1000)
        add(client, "short")
        assert client.get("/v1/sessions/long/diff?from=1").status_code == 200
        add(client, "x" * 1000)
        answer = client.get("/v1/sessions/long/diff?from=1")
        assert answer.status_code == 422
        assert "lie in between" in answer.json()["detail"]

    def test_a_fork(self, client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(forking, "MESSAGES_BYTES_MAX", 1000)
        add(client, "x" * 1000)
        answer = client.post("/v1/sessions/long/fork", json={})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "message_id")


class TestSlowReaders:
    def test_a_project_holds_no_more_than_its_share(self, conninfo: str, database: Database) -> None:
        """The answer nobody reads takes its project's share; another project has one of its own."""
        (_, ours), (_, theirs) = make_key(database, project="ours"), make_key(database, project="theirs")
        url = "/v1/sessions/long/messages"
        settings = Settings(answer_bytes_max=20 * 2**20)
        # As little as can be is taken by the kernel for a reader that does not read.
        narrow = httpx2.HTTPTransport(socket_options=[(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)])
        with (
            run_server(conninfo, settings) as address,
            httpx2.Client(base_url=address, timeout=60) as client,
        ):
            for headers in (ours, theirs):
                for size in (4_900_000, 4_000_000):
                    body = {"messages": [{"role": "user", "content": "x" * size}]}
                    assert client.post(url, json=body, headers=headers).status_code == 201
            with (
                httpx2.Client(base_url=address, timeout=60, transport=narrow) as reader,
                reader.stream("GET", url, headers=ours) as slow,
            ):
                assert slow.status_code == 200
                refused = client.get(url, headers=ours)
                assert refused.status_code == 503, "read meanwhile"
                assert int(refused.headers["retry-after"]) > 0
                assert refused.json()["type"] == "urn:recount:problem:unavailable"
                assert client.get("/v1/sessions", headers=ours).status_code == 200
                assert client.get(url, headers=theirs).status_code == 200
            # It hung up, so nothing is held for it.
            wait_until(lambda: client.get(url, headers=ours).status_code == 200)


WHOLE = [
    "/api/v1/sessions/long/memory",  # Zep
    "/api/v1/sessions/long/messages",
    "/sessions/long/memory",  # Motorhead
    "/api/v1/monitor/messages",  # Langflow
]


class TestWhole:
    """Lists of those who know no cursors: whole, and no larger than there is room for."""

    @pytest.mark.parametrize("path", WHOLE)
    def test_there_is_room_for_one_before_it_is_read(
        self, filled: TestClient, monkeypatch: pytest.MonkeyPatch, path: str, kind: str
    ) -> None:
        held: list[int] = []

        async def hold(_: Answer, size: int) -> None:
            held.append(size)

        monkeypatch.setattr(Answer, "hold", hold)
        answer = filled.get(path)
        assert answer.text.count(TEXTS[kind]) == COUNT
        assert sum(held) > (COUNT - 1) * LARGE, "but for one message"

    @pytest.mark.parametrize("path", WHOLE)
    def test_where_there_is_none_nothing_is_read(
        self, filled: TestClient, monkeypatch: pytest.MonkeyPatch, path: str
    ) -> None:
        monkeypatch.setattr("recountdb.api.http.long_answers.HOLD_SECONDS", 0.1)
        shares = filled.app.state.store.answers.shares  # type: ignore[attr-defined]
        everything = 2**40
        assert shares.take("default", everything)
        refused = filled.get(path)
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) > 0
        shares.give_back("default", everything)
        assert filled.get(path).status_code == 200
        assert shares.taken == 0

    def test_a_search_and_lists_of_metadata(self, client: TestClient) -> None:
        """A list whose size nobody knows is asked for again, with twice the room each time."""
        for number in range(COUNT):
            metadata = {"text": TEXTS["random"]}
            body = {"session_id": f"s{number}", "user_id": "ana", "metadata": metadata}
            assert client.post("/v1/sessions", json=body).status_code == 201
            add(client, TEXTS["random"])
        client.post("/v1/users", json={"user_id": "ana"})
        assert client.get("/api/v1/user/ana/sessions").text.count(TEXTS["random"]) == COUNT
        found = client.post("/api/v1/sessions/long/search?limit=9", json={"metadata": {}, "text": "tea"})
        assert found.text.count(TEXTS["random"]) == COUNT
        assert client.app.state.store.answers.shares.taken == 0  # type: ignore[attr-defined]
