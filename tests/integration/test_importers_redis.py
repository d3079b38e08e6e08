"""Redis lists that the original writers wrote into a real Redis: imported, imported again, written back."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis
from starlette.testclient import TestClient

from recountdb.api.transfer.chat_format import NAME_CHANGED, NO_ROLE
from recountdb.api.transfer.cleaning import NUL
from recountdb.api.transfer.importers.source import SOURCE
from recountdb.domain.commands.common import Delete
from recountdb.domain.commands.conversations import AddMessages
from recountdb.domain.commands.retention import EraseMessages
from recountdb.domain.errors import InvalidInput
from recountdb.domain.events import Context
from recountdb.domain.messages import Message
from recountdb.eventlog.application import Recount
from recountdb.eventlog.postgres.database import Database
from recountdb.projections.views.sessions import get_session
from tests.support.clients import Client
from tests.support.programs import need_program
from tests.support.stores import (
    TOKEN,
    messages_in,
    origin_of,
    recount,
    redis_json_server,
    redis_server,
    said_in,
    upstash_server,
)

Make = Callable[..., Context]

TURNS = [("user", "Soy Ana"), ("assistant", "Hola Ana"), ("user", "Hola"), ("user", "Hola")]


@pytest.fixture(scope="module")
def socket() -> Iterator[str]:
    with redis_server(need_program("redis-server")) as path:
        yield path


@pytest.fixture
def store(socket: str) -> Iterator[redis.Redis]:
    """An empty Redis."""
    client = redis.Redis(unix_socket_path=socket)
    client.flushall()
    yield client
    client.close()


@pytest.fixture
def url(socket: str) -> str:
    return f"unix://{socket}"


def push(store: redis.Redis, key: str, *turns: tuple[str, str]) -> None:
    """As LangChain's first release did."""
    types = {"user": "human", "assistant": "ai"}
    for role, content in turns:
        store.lpush(key, json.dumps({"type": types[role], "data": {"content": content}}))


WRITE = """
import json, sys
from langchain_community.chat_message_histories import RedisChatMessageHistory
from langchain_core.messages import *
for session, ttl in (("ana", None), ("ben", 600)):
    history = RedisChatMessageHistory(session, url=sys.argv[1], ttl=ttl)
    history.add_user_message("Soy Ana")
    history.add_message(AIMessage(
        [{"type": "text", "text": "Hola"}],
        tool_calls=[{"id": "c1", "name": "menu", "args": {"day": 1}}],
        response_metadata={"model": "m"},
        usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
    ))
    history.add_message(ToolMessage("café", tool_call_id="c1"))
    history.add_message(ChatMessage(content="Objection", role="judge"))
    history.add_message(AIMessageChunk("Adios"))
print(json.dumps(True))
"""

READ = """
import json, sys
from langchain_community.chat_message_histories import RedisChatMessageHistory
messages = RedisChatMessageHistory(sys.argv[2], url=sys.argv[1]).messages
print(json.dumps([message.model_dump(exclude_none=True) for message in messages]))
"""


def test_what_langchain_python_wrote_reads_the_same_and_is_written_back(
    conninfo: str, database: Database, store: redis.Redis, url: str, langchain: Client
) -> None:
    langchain.run(WRITE, url)
    original = langchain.run(READ, url, "ana")
    store.rpush("queue", "not a chat")
    store.rpush("message_store:jobs", "not a chat")

    ended = recount(conninfo, "import", "redis", url, "--json")

    assert (ended.code, set(ended.accounts)) == (0, {"ana", "ben"})
    assert ended.totals["messages_added"] == 10
    assert said_in(database, "ana") == [
        ("user", "Soy Ana"),
        ("assistant", [{"type": "text", "text": "Hola"}]),
        ("tool", "café"),
        ("judge", "Objection"),
        ("assistant", "Adios"),
    ]
    _, answer, result, *_ = messages_in(database, "ana")
    assert answer.tool_calls == [{"id": "c1", "name": "menu", "args": {"day": 1}, "type": "tool_call"}]
    assert answer.metadata["response_metadata"] == {"model": "m"}
    assert answer.metadata["usage_metadata"]["total_tokens"] == 3
    assert answer.metadata[SOURCE]["position"] == 1
    assert (result.tool_call_id, result.timestamp) == ("c1", None)  # no time is invented
    assert "ttl_seconds" not in origin_of(database, "ana")
    assert 0 < origin_of(database, "ben")["ttl_seconds"] <= 600
    assert store.ttl("message_store:ana") == -1

    store.flushall()
    assert recount(conninfo, "export", "redis", url, "--session", "ana").code == 0
    written = langchain.run(READ, url, "ana")
    original[-1]["type"] = "ai"  # a chunk is written back as what it is a piece of
    for message in (*original, *written):
        for member in ("tool_call_chunks", "chunk_position", "example"):
            message.pop(member, None)
    assert written == original


WRITE_JS = """
import { RedisChatMessageHistory } from "@langchain/redis";
import { RedisChatMessageHistory as IORedisHistory } from "@langchain/community/stores/message/ioredis";
import { AIMessage, ChatMessage, HumanMessage } from "@langchain/core/messages";
import { createClient } from "redis";
import { Redis } from "ioredis";
const path = process.argv[2];
const client = createClient({ socket: { path } });
await client.connect();
const io = new Redis(path);
for (const history of [
  new RedisChatMessageHistory({ sessionId: "node", client }),
  new IORedisHistory({ sessionId: "io", client: io, sessionTTL: 600 }),
]) {
  if (process.argv[3] === "write") {
    await history.addMessage(new HumanMessage("Soy Ana"));
    await history.addMessage(new AIMessage("Hola Ana"));
    await history.addMessage(new ChatMessage("Objection", "judge"));
  }
}
const read = async (history) =>
  (await history.getMessages()).map((one) => [one.getType(), one.content, one.role ?? null]);
console.log(JSON.stringify({
  node: await read(new RedisChatMessageHistory({ sessionId: "node", client })),
  io: await read(new IORedisHistory({ sessionId: "io", client: io })),
}));
await client.quit();
io.disconnect();
"""


def test_what_langchain_js_wrote_reads_the_same_and_is_written_back(
    conninfo: str, database: Database, store: redis.Redis, socket: str, url: str, langchain_js: Client
) -> None:
    original = langchain_js.run(WRITE_JS, socket, "write")
    push(store, "message_store:python", *TURNS)

    ended = recount(conninfo, "import", "redis", url, "--match", "*", "--json")

    assert (ended.code, set(ended.accounts)) == (0, {"node", "io", "python"})
    for name in ("node", "io"):
        assert said_in(database, name) == [
            ("user", "Soy Ana"),
            ("assistant", "Hola Ana"),
            ("judge", "Objection"),
        ]
    assert said_in(database, "python") == TURNS

    store.flushall()
    names = ("--session", "node", "--session", "io")
    assert recount(conninfo, "export", "redis", url, "--writer", "js", *names).code == 0
    assert langchain_js.run(WRITE_JS, socket, "read") == original


@pytest.mark.parametrize("way", ["redis", "upstash"])
def test_importing_again_adds_only_what_is_new(
    conninfo: str, database: Database, store: redis.Redis, url: str, way: str
) -> None:
    with upstash_server(store) as rest:
        place = (way, url) if way == "redis" else (way, rest, "--token", TOKEN)

        def imported() -> dict[str, Any]:
            return recount(conninfo, "import", *place, "--json").accounts["ana"]

        push(store, "message_store:ana", *TURNS)
        assert (imported()["added"], imported()["added"]) == (4, 0)
        push(store, "message_store:ana", ("user", "Hola"), ("assistant", "¿Sí?"))
        account = imported()
        assert (account["added"], account["known"], account["warnings"]) == (2, 4, [])
        assert said_in(database, "ana") == [*TURNS, ("user", "Hola"), ("assistant", "¿Sí?")]

        store.ltrim("message_store:ana", 0, 1)  # only the newest two are kept
        push(store, "message_store:ana", ("user", "Nada"))
        account = imported()
        assert (account["read"], account["added"], account["known"]) == (3, 1, 2)
        assert "first 4 messages are no longer there" in account["warnings"][0]
        assert messages_in(database, "ana")[-1].metadata[SOURCE]["position"] == 6

        store.delete("message_store:ana")
        push(store, "message_store:ana", ("user", "Buenos dias"), ("assistant", "Buenas"))
        account = imported()
        assert (account["added"], "generation 1" in account["warnings"][0]) == (2, True)
        assert imported()["added"] == 0
        assert said_in(database, "ana")[-3:] == [
            ("user", "Nada"),
            ("user", "Buenos dias"),
            ("assistant", "Buenas"),
        ]
        last = messages_in(database, "ana")[-1].metadata[SOURCE]
        assert (last["generation"], last["position"]) == (1, 1)


UPSTASH = """
import json, sys
from langchain_community.chat_message_histories import UpstashRedisChatMessageHistory
from langchain_core.messages import *
url, token, what = sys.argv[1:]
for session, ttl in (("ana", None), ("ben", 600)):
    history = UpstashRedisChatMessageHistory(session, url=url, token=token, ttl=ttl)
    if what == "write":
        history.add_message(HumanMessage("Soy Ana ✈"))
        history.add_message(AIMessage("Hola", tool_calls=[{"id": "c1", "name": "menu", "args": {"day": 1}}]))
        history.add_message(ToolMessage("café", tool_call_id="c1"))
print(json.dumps([message.model_dump(exclude_none=True) for message in history.messages]))
"""

UPSTASH_JS = """
import { UpstashRedisChatMessageHistory } from "@langchain/community/stores/message/upstash_redis";
import { AIMessage, ChatMessage, HumanMessage } from "@langchain/core/messages";
const [url, token, what] = process.argv.slice(2);
const opened = (sessionId, sessionTTL) =>
  new UpstashRedisChatMessageHistory({ sessionId, sessionTTL, config: { url, token } });
for (const history of what === "write" ? [opened("ana"), opened("ben", 600)] : []) {
  await history.addMessage(new HumanMessage("Soy Ana ✈"));
  await history.addMessage(new AIMessage("Hola"));
  await history.addMessage(new ChatMessage("Objection", "judge"));
}
const messages = await opened("ben").getMessages();
console.log(JSON.stringify(messages.map((one) => [one.getType(), one.content, one.role ?? null])));
"""


@pytest.mark.parametrize("language", ["python", "js"])
def test_what_langchain_wrote_into_upstash_reads_the_same_and_is_written_back(
    conninfo: str,
    database: Database,
    store: redis.Redis,
    url: str,
    language: str,
    langchain: Client,
    langchain_js: Client,
) -> None:
    client, program = (langchain, UPSTASH) if language == "python" else (langchain_js, UPSTASH_JS)
    third = ("tool", "café") if language == "python" else ("judge", "Objection")
    with upstash_server(store) as rest:
        original = client.run(program, rest, TOKEN, "write")
        assert len(original) == 3
        place = ("import", "upstash", rest, "--token", TOKEN, "--json")
        keys = () if language == "python" else ("--match", "*")

        ended = recount(conninfo, *place, *keys)

        assert (ended.code, set(ended.accounts)) == (0, {"ana", "ben"})
        for name in ("ana", "ben"):
            assert said_in(database, name) == [("user", "Soy Ana ✈"), ("assistant", "Hola"), third]
        assert "ttl_seconds" not in origin_of(database, "ana")
        assert 0 < origin_of(database, "ben")["ttl_seconds"] <= 600
        client.run(program, rest, TOKEN, "write")
        again = recount(conninfo, *place, *keys).accounts
        assert [(one["added"], one["known"]) for one in again.values()] == [(3, 3)] * 2

        store.flushall()  # what Upstash holds are the lists of any Redis
        assert recount(conninfo, "export", "redis", url, "--writer", language).code == 0
        assert client.run(program, rest, TOKEN, "read") == original * 2


def test_upstash_wants_its_token(conninfo: str, store: redis.Redis) -> None:
    with upstash_server(store) as rest:
        with pytest.raises(Exception, match="Upstash wants another token"):
            recount(conninfo, "import", "upstash", rest, UPSTASH_REDIS_REST_TOKEN="wrong")
        assert recount(conninfo, "import", "upstash", rest, UPSTASH_REDIS_REST_TOKEN=TOKEN).code == 0


def test_a_bad_message_keeps_nothing_else_from_being_imported(
    conninfo: str, database: Database, store: redis.Redis, url: str
) -> None:
    push(store, "message_store:ana", ("user", "one"))
    for bad in (b"rosebud", b"\xff\xfe", b'{"type":"human","data":{"content":"odd\\u0000"}}'):
        store.lpush("message_store:ana", bad)
    push(store, "message_store:ana", ("user", "two"))
    push(store, "message_store:" + "x" * 513, ("user", "three"))
    push(store, "message_store:ben", ("user", "four"))

    ended = recount(conninfo, "import", "redis", url, "--json")

    assert ended.code == 1
    assert [one["position"] for one in ended.accounts["ana"]["skipped"]] == [1, 2]
    assert ended.accounts["ana"]["warnings"] == [f"{NUL} (1×)"]
    (long,) = (name for name in ended.accounts if name.startswith("xxx"))
    assert said_in(database, long) == [("user", "three")]
    assert ended.accounts[long]["warnings"] == [f"{NAME_CHANGED} (1×)"]
    assert (ended.totals["conversations_skipped"], ended.totals["messages_skipped"]) == (0, 2)
    assert said_in(database, "ana") == [("user", "one"), ("user", "odd\ufffd"), ("user", "two")]
    assert said_in(database, "ben") == [("user", "four")]

    push(store, "message_store:ana", ("user", "five"))
    again = recount(conninfo, "import", "redis", url)
    assert (again.code, "rosebud" in again.out + again.err) == (1, False)
    assert said_in(database, "ana")[-1] == ("user", "five")
    assert messages_in(database, "ana")[-1].metadata[SOURCE]["position"] == 5


def test_long_lists_are_read_in_pages_in_order(
    conninfo: str, database: Database, store: redis.Redis, url: str
) -> None:
    push(store, "message_store:ana", *(("user", str(number)) for number in range(1000)))
    push(store, "message_store:ben", *(("user", str(number)) for number in range(1001)))
    ended = recount(conninfo, "import", "redis", url, "--json")
    assert [ended.accounts[name]["added"] for name in ("ana", "ben")] == [1000, 1001]
    assert [content for _, content in said_in(database, "ben")[:3]] == ["0", "1", "2"]


def test_nothing_is_written_to_the_source_nor_by_a_rehearsal(
    conninfo: str, database: Database, store: redis.Redis, url: str
) -> None:
    push(store, "message_store:ana", *TURNS)
    store.pexpire("message_store:ana", 500_000)
    before = store.info("commandstats")
    dump = store.dump("message_store:ana")

    ended = recount(conninfo, "import", "redis", url, "--dry-run", "--json")
    assert ended.totals["messages_added"] == 4
    assert recount(conninfo, "sessions", "--json").out == ""
    recount(conninfo, "import", "redis", url)

    assert store.dump("message_store:ana") == dump
    used = {name for name, count in store.info("commandstats").items() if before.get(name) != count}
    assert used <= {
        f"cmdstat_{name}"
        for name in ("ping", "scan", "lrange", "type", "pttl", "info", "dump", "client|setinfo", "hello")
    }


def test_a_session_that_holds_other_messages_is_left_alone(
    conninfo: str, application: Recount, context: Make, store: redis.Redis, url: str, database: Database
) -> None:
    mine = Message.model_validate(
        {"id": "00000000-0000-0000-0000-000000000001", "role": "user", "content": "x"}
    )
    application.execute(AddMessages(kind="session", name="ana", messages=[mine]), context())
    application.execute(AddMessages(kind="session", name="ben", messages=[mine]), context())
    application.execute(Delete(kind="session", name="ben"), context())
    push(store, "message_store:ana", *TURNS)
    push(store, "message_store:ben", *TURNS)

    ended = recount(conninfo, "import", "redis", url, "--json")

    assert ended.code == 1
    assert "did not come from there" in ended.accounts["ana"]["reason"]
    assert "deleted" in ended.accounts["ben"]["reason"]
    assert said_in(database, "ana") == [("user", "x")]


def test_what_was_erased_does_not_come_back(
    conninfo: str, application: Recount, context: Make, store: redis.Redis, url: str, database: Database
) -> None:
    push(store, "message_store:ana", ("user", "one"), ("user", "two"), ("user", "three"))
    recount(conninfo, "import", "redis", url)
    session = get_session(database, "default", "ana")
    second = messages_in(database, "ana")[1]
    application.execute(
        EraseMessages(
            kind="session",
            name="ana",
            expected_version=session.version,
            message_ids=[second.id],
            versions=[second.version],
        ),
        context(),
    )
    push(store, "message_store:ana", ("user", "four"))

    account = recount(conninfo, "import", "redis", url, "--json").accounts["ana"]

    assert account["warnings"] == []
    assert [content for _, content in said_in(database, "ana")] == ["one", "three", "four"]


def test_a_key_that_is_taken_is_left_unless_it_may_be_replaced(
    conninfo: str, store: redis.Redis, url: str
) -> None:
    push(store, "message_store:ana", *TURNS)
    recount(conninfo, "import", "redis", url)
    push(store, "message_store:ana", ("user", "newer"))

    ended = recount(conninfo, "export", "redis", url)
    assert (ended.code, store.llen("message_store:ana"), store.dbsize()) == (1, 5, 1)
    assert "--replace" in ended.err
    assert recount(conninfo, "export", "redis", url, "--replace", "--ttl-seconds", "60").code == 0
    assert store.llen("message_store:ana") == 4
    assert 0 < store.ttl("message_store:ana") <= 60
    assert store.keys() == [b"message_store:ana"]


def test_a_redis_that_is_not_there_is_told_in_one_sentence(conninfo: str, tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"^the Redis cannot be reached, or went away$"):
        recount(conninfo, "import", "redis", f"unix://{tmp_path}/none")
    with pytest.raises(Exception, match="no address of a Redis"):
        recount(conninfo, "import", "redis", "rosebud")


@pytest.mark.parametrize(
    ("module", "words", "extra"),
    [
        ("redis", ("import", "redis", "redis://127.0.0.1"), "redis"),
        ("redis", ("import", "motorhead", "redis://127.0.0.1"), "redis"),
        ("redis", ("export", "redis", "redis://127.0.0.1"), "redis"),
        ("boto3", ("import", "dynamodb", "chats"), "dynamodb"),
        ("boto3", ("export", "dynamodb", "chats"), "dynamodb"),
    ],
)
def test_a_library_that_is_missing_is_told_with_how_to_get_it(
    conninfo: str, monkeypatch: pytest.MonkeyPatch, module: str, words: tuple[str, ...], extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InvalidInput, match=re.escape(f"pip install 'recountdb[{extra}]'")):
        recount(conninfo, *words)


def test_a_word_that_names_no_store_is_a_file(
    conninfo: str, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    line = json.dumps({"id": "ana", "messages": [{"role": "user", "content": "hi"}]})
    Path("redis").write_text(line)
    for words in (("import", "./redis"), ("import", "--json", "redis.jsonl"), ("import", "chat", "redis")):
        Path("redis.jsonl").write_text(line)
        assert recount(conninfo, *words).code == 0
    assert said_in(database, "ana") == [("user", "hi")]
    chat = recount(conninfo, "export").out
    assert recount(conninfo, "export", "-", "--session", "ana").out == chat
    assert json.loads(chat)["id"] == "ana"
    assert "Commands:" in recount(conninfo, "import").err


@pytest.fixture
def json_url() -> Iterator[str]:
    with redis_json_server() as url:
        yield url


DOCUMENTS: dict[str, dict[str, Any]] = {
    # langchain-redis 0.2.6
    "chat:s:1:01HX0000000000000000000002": {
        "type": "ai",
        "message_id": "01HX0000000000000000000002",
        "session_id": "s:1",
        "timestamp": 1712394001.5,
        "data": {"content": "hello", "additional_kwargs": {}, "type": "ai"},
    },
    "chat:s:1:01HX0000000000000000000003": {
        "type": "human",
        "message_id": "01HX0000000000000000000003",
        "session_id": "s:1",
        "timestamp": 1712394000.25,
        "data": {"content": "hi", "additional_kwargs": {}, "type": "human"},
    },
    "chat:old:1700000000.5": {  # 0.0.x
        "type": "human",
        "session_id": "old",
        "timestamp": 1700000000.5,
        "data": {"content": "hi", "additional_kwargs": {}, "type": "human"},
    },
    "chat:bad": {"type": "human", "session_id": "old", "timestamp": 1700000001.5, "data": "rosebud"},
    "chat:other": {"a": 1},
}


def put(store: redis.Redis, key: str, document: dict[str, Any]) -> None:
    store.execute_command("JSON.SET", key, "$", json.dumps(document))  # type: ignore[no-untyped-call]


def test_documents_of_langchain_redis_have_times_and_ids(
    conninfo: str, database: Database, json_url: str
) -> None:
    store = redis.Redis.from_url(json_url, protocol=2)
    for key, document in DOCUMENTS.items():
        put(store, key, document)
    store.set("chat:text", "no document")
    push(store, "message_store:ana", *TURNS)

    ended = recount(conninfo, "import", "redis", json_url, "--json")

    assert {name: one["added"] for name, one in ended.accounts.items()} == {"ana": 4, "s:1": 2, "old": 1}
    assert [one["position"] for one in ended.accounts["old"]["skipped"]] == [1]
    assert said_in(database, "s:1") == [("user", "hi"), ("assistant", "hello")]
    first = messages_in(database, "s:1")[0]
    assert first.timestamp == datetime(2024, 4, 6, 9, 0, 0, 250_000, tzinfo=UTC)
    assert first.metadata[SOURCE]["message_key"] == "chat:s:1:01HX0000000000000000000003"

    put(store, "chat:old:1600000000.5", {**DOCUMENTS["chat:old:1700000000.5"], "timestamp": 1600000000.5})
    again = recount(conninfo, "import", "redis", json_url, "--match", "chat:*", "--json").accounts
    assert {name: (one["added"], one["known"]) for name, one in again.items()} == {
        "s:1": (0, 2),
        "old": (1, 1),
    }
    store.close()


WRITE_DOCUMENTS = """
import json, sys
from langchain_core.messages import *
from langchain_redis import RedisChatMessageHistory
from redisvl.index import SearchIndex

class History(RedisChatMessageHistory):
    # It writes as it always does; the index, by which it would read, is not made.
    def _create_search_index(self):
        index = {"name": self.index_name, "prefix": self.key_prefix, "storage_type": "json"}
        self.index = SearchIndex.from_dict({"index": index}, redis_client=self.redis_client)

for session, ttl in (("s:1", None), ("ben", 600)):
    history = History(session, redis_url=sys.argv[1], ttl=ttl)
    history.add_message(HumanMessage("Soy Ana"))
    history.add_messages([
        AIMessage([{"type": "text", "text": "Hola"}], additional_kwargs={"mood": "good"}),
        ToolMessage("café", tool_call_id="c1"),
    ])
print(json.dumps(True))
"""


def test_what_langchain_redis_wrote(
    conninfo: str, database: Database, json_url: str, langchain_redis: Client
) -> None:
    before = datetime.now(UTC)
    langchain_redis.run(WRITE_DOCUMENTS, json_url)
    ended = recount(conninfo, "import", "redis", json_url, "--json")

    assert (ended.code, ended.totals["messages_added"]) == (0, 6)
    for name in ("s:1", "ben"):
        assert said_in(database, name) == [
            ("user", "Soy Ana"),
            ("assistant", [{"type": "text", "text": "Hola"}]),
            ("tool", "café"),
        ]
        human, ai, tool = messages_in(database, name)
        assert before <= human.timestamp <= ai.timestamp <= tool.timestamp <= datetime.now(UTC)
        assert ai.metadata["additional_kwargs"] == {"mood": "good"}
        assert tool.tool_call_id == "c1"

    langchain_redis.run(WRITE_DOCUMENTS, json_url)
    again = recount(conninfo, "import", "redis", json_url, "--json").accounts
    assert {name: (one["added"], one["known"]) for name, one in again.items()} == {
        "s:1": (3, 3),
        "ben": (3, 3),
    }


def motorhead_wrote(store: redis.Redis, name: str, *lines: str, **scores: float) -> None:
    """``scores``: by namespace, ``_`` for none."""
    for line in lines:
        store.lpush(f"session:{name}", line)
    for namespace, score in scores.items():
        store.zadd("sessions" if namespace == "_" else f"sessions:{namespace}", {name: score})


def test_motorheads_sessions_with_context_and_namespaces(
    conninfo: str, database: Database, store: redis.Redis, url: str
) -> None:
    lines = ("Human: I fly to Lisbon", "AI: Have fun: it is warm", "rosebud")
    motorhead_wrote(store, "trip", *lines, _=1712394000, travel=1712394001)
    store.set("context:trip", "Ana flies.")
    store.set("tokens:trip", 17)
    store.hset("motorhead:abc", mapping={"session": "trip", "role": "AI", "content": "?"})
    store.zadd("sessionsother", {"no session": 1})

    ended = recount(conninfo, "import", "motorhead", url, "--json")

    assert (ended.code, list(ended.accounts)) == (0, ["trip"])
    assert ended.accounts["trip"]["warnings"] == [f"{NO_ROLE} (1×)"]
    words = [("Human", "I fly to Lisbon"), ("AI", "Have fun: it is warm"), ("unknown", "rosebud")]
    assert said_in(database, "trip") == words
    assert get_session(database, "default", "trip").metadata == {
        "motorhead": {"context": "Ana flies.", "tokens": 17, "namespaces": {"": True, "travel": True}},
        SOURCE: {"kind": "motorhead", "key": "session:trip", "written_at": "2024-04-06T09:00:01+00:00"},
    }
    store.ltrim("session:trip", 0, 1)  # a context was made: the newest are kept
    motorhead_wrote(store, "trip", "Human: Thanks", home=1712394002)
    store.set("context:trip", "Ana flies to Lisbon.")
    store.set("tokens:trip", 40)
    recount(conninfo, "import", "motorhead", url)
    assert said_in(database, "trip")[3:] == [("Human", "Thanks")]
    facts = (get_session(database, "default", "trip").metadata or {})["motorhead"]
    namespaces = {"": True, "travel": True, "home": True}
    assert facts == {"context": "Ana flies to Lisbon.", "tokens": 40, "namespaces": namespaces}


def test_motorheads_protocol_tells_what_the_old_server_told(
    conninfo: str, client: TestClient, store: redis.Redis, url: str
) -> None:
    motorhead_wrote(store, "zebra", "Human: first: and last", "AI: yes", _=1)
    motorhead_wrote(store, "both", "Human: hi", _=2, travel=2)
    motorhead_wrote(store, "loose", "Human: in no listing")
    motorhead_wrote(store, "emptied", travel=1)  # deleted without a namespace: listed there still
    for number in range(700):  # in several pages, several of one second
        motorhead_wrote(store, f"s{number}", f"Human: {number}", many=number * 7919 % 50)
    store.set("context:zebra", "Ana said: hello")
    store.set("tokens:zebra", 17)
    store.set("context:both", "NONE")

    assert recount(conninfo, "import", "motorhead", url).code == 0

    for namespace, key in (("", "sessions"), ("travel", "sessions:travel"), ("many", "sessions:many")):
        listed = client.get("/sessions", params={"size": 1000, "namespace": namespace}).json()
        members: Any = store.zrange(key, 0, -1)
        assert listed == [member.decode() for member in members]
    assert len(listed) == 700
    assert client.get("/sessions/zebra/memory").json() == {
        "messages": [{"role": "AI", "content": "yes"}, {"role": "Human", "content": "first: and last"}],
        "context": "Ana said: hello",
        "tokens": 17,
    }
    both, loose, emptied = (
        client.get(f"/sessions/{name}/memory").json() for name in ("both", "loose", "emptied")
    )
    assert (both["context"], both["tokens"]) == ("NONE", 0)
    assert loose == {
        "messages": [{"role": "Human", "content": "in no listing"}],
        "context": None,
        "tokens": 0,
    }
    assert emptied == {"messages": [], "context": None, "tokens": 0}

    client.post("/sessions/zebra/memory", json={"messages": [{"role": "Human", "content": "more"}]})
    assert client.get("/sessions").json() == ["both", "zebra"]
    assert client.get("/sessions/zebra/memory").json()["context"] == "Ana said: hello"


def test_a_context_that_cannot_be_taken_keeps_no_session_from_being_imported(
    conninfo: str, database: Database, store: redis.Redis, url: str
) -> None:
    for name, context in (("nul", b"a\x00"), ("bytes", b"\xff")):
        motorhead_wrote(store, name, "Human: hi", _=1e300)
        store.set(f"context:{name}", context)
        store.set(f"tokens:{name}", "many")
    motorhead_wrote(store, "other", "Human: hi", _=2)
    store.lpush("context:other", "of another program")

    ended = recount(conninfo, "import", "motorhead", url, "--json")

    assert (ended.code, ended.totals["conversations_added"], ended.totals["warnings"]) == (0, 3, 2)
    for name, expected in (("nul", "a\ufffd"), ("bytes", "\ufffd"), ("other", None)):
        facts = (get_session(database, "default", name).metadata or {})["motorhead"]
        assert facts == {"context": expected, "tokens": 0, "namespaces": {"": True}}


def test_damage_at_the_newest_end_costs_no_conversation(
    conninfo: str, database: Database, store: redis.Redis, url: str
) -> None:
    push(store, "message_store:ana", ("user", "Soy Ana"))
    store.lpush("message_store:ana", "{damaged", "[" * 100_000)
    ended = recount(conninfo, "import", "redis", url, "--json")
    assert ended.code == 1
    assert [one["position"] for one in ended.accounts["ana"]["skipped"]] == [1, 2]
    assert said_in(database, "ana") == [("user", "Soy Ana")]
