"""DynamoDB tables that the original writers wrote, into an emulator: imported, and written back."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from recountdb.api.transfer.importers import dynamodb
from recountdb.api.transfer.importers.source import SourceFailed
from recountdb.eventlog.postgres.database import Database
from tests.support.clients import Client
from tests.support.stores import dynamodb_server, messages_in, origin_of, recount, said_in

TABLE = "chats"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        with dynamodb_server() as address:
            yield address


@pytest.fixture
def client(endpoint: str) -> Iterator[Any]:
    """Of an emulator without tables."""
    client = dynamodb.open_client(endpoint, None)
    for name in client.list_tables()["TableNames"]:
        client.delete_table(TableName=name)
    yield client
    client.close()


def make_table(client: Any, *keys: str) -> None:
    kinds = ("HASH", "RANGE")
    client.create_table(
        TableName=TABLE,
        KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in zip(keys, kinds, strict=False)],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in keys],
        BillingMode="PAY_PER_REQUEST",
    )


def put(client: Any, name: str, *contents: str, **attributes: Any) -> None:
    """As LangChain's Python package does."""
    history = [
        {"M": {"type": {"S": "human"}, "data": {"M": {"content": {"S": content}}}}} for content in contents
    ]
    item = {"SessionId": {"S": name}, "History": {"L": history}, **attributes}
    client.put_item(TableName=TABLE, Item=item)


PYTHON = """
import json, sys
import boto3
from langchain_community.chat_message_histories import DynamoDBChatMessageHistory
from langchain_core.messages import *
endpoint, what = sys.argv[1:]
history = DynamoDBChatMessageHistory(
    "chats", "ana", endpoint_url=endpoint, ttl=600, coerce_float_to_decimal=True,
    boto3_session=boto3.Session(region_name="us-east-1"))
if what == "write":
    history.add_message(HumanMessage("Soy Ana"))
    history.add_message(AIMessage(
        "Hola Ana", response_metadata={"temperature": 0.5, "tries": 2},
        tool_calls=[{"id": "c1", "name": "menu", "args": {"day": 1}}]))
    history.add_message(ToolMessage("17", tool_call_id="c1"))
print(json.dumps([message.model_dump(exclude_none=True) for message in history.messages], default=float))
"""


def test_what_langchain_python_wrote_reads_the_same_and_is_written_back(
    conninfo: str, database: Database, client: Any, endpoint: str, langchain: Client
) -> None:
    make_table(client, "SessionId")
    original = langchain.run(PYTHON, endpoint, "write")

    ended = recount(conninfo, "import", "dynamodb", TABLE, "--endpoint-url", endpoint, "--json")

    assert (ended.code, ended.accounts["ana"]["added"]) == (0, 3)
    assert said_in(database, "ana") == [("user", "Soy Ana"), ("assistant", "Hola Ana"), ("tool", "17")]
    answer = messages_in(database, "ana")[1]
    assert answer.metadata["response_metadata"] == {"temperature": 0.5, "tries": 2}
    assert answer.tool_calls[0]["args"] == {"day": 1}
    origin = origin_of(database, "ana")
    assert origin.pop("expires_at") > time.time()
    assert origin == {"kind": "dynamodb", "key": TABLE, "messages_attribute": "History"}

    client.delete_item(TableName=TABLE, Key={"SessionId": {"S": "ana"}})
    exported = recount(conninfo, "export", "dynamodb", TABLE, "--endpoint-url", endpoint)
    assert (exported.code, exported.err) == (0, "")
    assert langchain.run(PYTHON, endpoint, "read") == original


JS = """
import { DynamoDBChatMessageHistory } from "@langchain/community/stores/message/dynamodb";
import { AIMessage, ChatMessage, HumanMessage } from "@langchain/core/messages";
const [endpoint, what, sortKey] = process.argv.slice(2);
const config = { endpoint, region: "us-east-1", credentials: { accessKeyId: "a", secretAccessKey: "b" } };
const history = new DynamoDBChatMessageHistory({ tableName: "chats", sessionId: "ana", sortKey, config });
if (what === "write") {
  await history.addMessage(new HumanMessage("Soy Ana"));
  await history.addMessage(new AIMessage({ content: "Hola Ana", additional_kwargs: { mood: "good" } }));
  await history.addMessage(new ChatMessage("Objection", "judge"));
}
const messages = await history.getMessages();
console.log(JSON.stringify(
  messages.map((one) => [one.getType(), one.content, one.role ?? null, one.additional_kwargs])));
"""


@pytest.mark.parametrize("keys", [("id",), ("id", "sk")])
def test_what_langchain_js_wrote_reads_the_same_and_is_written_back(
    conninfo: str,
    database: Database,
    client: Any,
    endpoint: str,
    langchain_js: Client,
    keys: tuple[str, ...],
) -> None:
    make_table(client, *keys)
    original = langchain_js.run(JS, endpoint, "write", *keys[1:])

    ended = recount(conninfo, "import", "dynamodb", TABLE, "--endpoint-url", endpoint, "--json")

    assert (ended.code, ended.accounts["ana"]["added"]) == (0, 3)
    assert said_in(database, "ana") == [
        ("user", "Soy Ana"),
        ("assistant", "Hola Ana"),
        ("judge", "Objection"),
    ]
    assert messages_in(database, "ana")[1].metadata["additional_kwargs"] == {"mood": "good"}

    client.delete_item(TableName=TABLE, Key={name: {"S": name} for name in keys} | {"id": {"S": "ana"}})
    flavour = ("--writer", "js", "--endpoint-url", endpoint)
    assert recount(conninfo, "export", "dynamodb", TABLE, *flavour).code == 0
    assert langchain_js.run(JS, endpoint, "read", *keys[1:]) == original


def test_flowises_items_without_kwargs_and_other_keys(
    conninfo: str, database: Database, client: Any, endpoint: str
) -> None:
    make_table(client, "chat", "user")
    for user in ("ana", "user"):
        said = [{"M": {"type": {"S": "human"}, "text": {"S": f"I am {user}"}}}]
        item = {"chat": {"S": "c1"}, "user": {"S": user}, "messages": {"L": said}, "n": {"N": "1"}}
        client.put_item(TableName=TABLE, Item=item)
    client.put_item(
        TableName=TABLE, Item={"chat": {"S": "c2"}, "user": {"S": "x"}, "list": {"L": [{"S": "a"}]}}
    )

    ended = recount(conninfo, "import", "dynamodb", TABLE, "--endpoint-url", endpoint, "--json")

    assert set(ended.accounts) == {"c1#ana", "c1"}  # a sort key of its own name is LangChain's filler
    assert said_in(database, "c1#ana") == [("user", "I am ana")]


def test_expired_encrypted_and_bad_items(
    conninfo: str, database: Database, client: Any, endpoint: str
) -> None:
    make_table(client, "SessionId")
    put(client, "gone", "hi", expireAt={"N": str(int(time.time()) - 60)})
    put(client, "live", "hi", expireAt={"N": str(int(time.time()) + 600)})
    secret = {"B": b"rosebud"}
    encrypted = {"SessionId": {"S": "secret"}, "History": secret, "*amzn-ddb-map-desc*": secret}
    client.put_item(TableName=TABLE, Item=encrypted)
    mixed = [
        {"N": "7"},
        {"M": {"type": {"S": "human"}, "text": {"S": "one"}}},
        {"M": {"type": {"S": "human"}, "data": {"B": b"rosebud"}}},
        {"S": "rosebud"},
        {"M": {"type": {"S": "human"}, "text": {"S": "two"}}},
    ]
    client.put_item(TableName=TABLE, Item={"SessionId": {"S": "mixed"}, "History": {"L": mixed}})

    place = ("import", "dynamodb", TABLE, "--endpoint-url", endpoint, "--json")
    ended = recount(conninfo, *place)

    assert ended.code == 1
    assert "rosebud" not in ended.out + ended.err
    assert set(ended.accounts) == {"live", "secret", "mixed"}
    assert "encrypted" in ended.accounts["secret"]["reason"]
    assert [one["position"] for one in ended.accounts["mixed"]["skipped"]] == [0, 2, 3]
    assert said_in(database, "mixed") == [("user", "one"), ("user", "two")]
    assert set(recount(conninfo, *place, "--expired", "--id", "gone").accounts) == {"gone"}


def test_a_history_that_is_cut_is_known_again(
    conninfo: str, database: Database, client: Any, endpoint: str
) -> None:
    make_table(client, "SessionId")
    place = ("import", "dynamodb", TABLE, "--endpoint-url", endpoint, "--json")
    put(client, "ana", "one", "two", "three")
    recount(conninfo, *place)
    put(client, "ana", "two", "three", "four")  # history_size=3
    account = recount(conninfo, *place).accounts["ana"]
    assert (account["added"], account["known"]) == (1, 2)
    assert recount(conninfo, *place).accounts["ana"]["added"] == 0
    assert [content for _, content in said_in(database, "ana")] == ["one", "two", "three", "four"]


def test_many_items_come_in_pages(conninfo: str, client: Any, endpoint: str) -> None:
    make_table(client, "SessionId")
    for number in range(12):
        put(client, f"s{number}", "x" * 200_000)  # a page of a scan holds 1 MB
    ended = recount(conninfo, "import", "dynamodb", TABLE, "--endpoint-url", endpoint, "--json")
    assert ended.totals["conversations_added"] == 12


def test_what_an_item_cannot_hold_or_is_taken_is_told(
    conninfo: str, client: Any, endpoint: str, tmp_path: Path
) -> None:
    make_table(client, "SessionId")
    put(client, "ana", "one")
    place = (TABLE, "--endpoint-url", endpoint)
    recount(conninfo, "import", "dynamodb", *place)
    put(client, "ana", "one", "two")
    ended = recount(conninfo, "export", "dynamodb", *place)
    assert (ended.code, "--replace" in ended.err) == (1, True)
    assert recount(conninfo, "export", "dynamodb", *place, "--replace", "--ttl-seconds", "60").code == 0
    item = client.get_item(TableName=TABLE, Key={"SessionId": {"S": "ana"}})["Item"]
    assert len(item["History"]["L"]) == 1
    assert int(item["expireAt"]["N"]) > time.time()

    file = tmp_path / "long.jsonl"
    file.write_text(json.dumps({"id": "long", "messages": [{"role": "user", "content": "x" * 500_000}]}))
    assert recount(conninfo, "import", file).code == 0
    ended = recount(conninfo, "export", "dynamodb", *place, "--session", "long")
    assert (ended.code, "400 KB" in ended.err) == (1, True)


def test_a_table_that_is_not_there_is_told_in_one_sentence(conninfo: str, client: Any, endpoint: str) -> None:
    with pytest.raises(SourceFailed, match=r"^DynamoDB refused: ResourceNotFoundException$"):
        recount(conninfo, "import", "dynamodb", "none", "--endpoint-url", endpoint)
