"""Langflow's, Flowise's and Zep's databases, in several ages of their schemas, imported into a real store."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg.conninfo import conninfo_to_dict
from starlette.testclient import TestClient

from recountdb.api.app import create_app
from recountdb.api.settings import Settings
from recountdb.api.transfer.importers import langflow
from recountdb.api.transfer.importers.recording import StoreImporter
from recountdb.api.transfer.importers.source import SourceFailed, Talk
from recountdb.api.transfer.importers.tables import opened_tables
from recountdb.domain.events import Context
from recountdb.eventlog.application import Recount
from recountdb.eventlog.postgres.database import Database
from recountdb.projections.views.sessions import get_session
from recountdb.projections.views.users import get_user
from tests.support.foreign_tables import (
    CHATFLOW,
    FLOW,
    FLOWISE_SQLITE,
    LANGFLOW_POSTGRES,
    LANGFLOW_SQLITE,
    OWNER,
    fill_tables,
    flowise_row,
    langflow_row,
)
from tests.support.postgres import new_database
from tests.support.stores import messages_in, origin_of, recount, said_in

Make = Callable[..., Context]


@pytest.fixture
def postgres(server: str) -> Iterator[str]:
    """The address of an empty PostgreSQL database, for somebody else's tables."""
    with new_database(server) as name:
        place = conninfo_to_dict(server)
        user, host, port = place.get("user", "postgres"), place.get("host"), place.get("port", "")
        yield f"postgresql://{user}@/{name}?host={host}&port={port}"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "their.db"


# Langflow. Its first releases' columns, and those that 1.13.0 makes in either database, as it makes them;
# of its flows, only those that somebody could look for.

LANGFLOW_OLD = """
CREATE TABLE message (id CHAR(32) PRIMARY KEY, timestamp DATETIME NOT NULL, sender VARCHAR NOT NULL,
  sender_name VARCHAR NOT NULL, session_id VARCHAR NOT NULL, text TEXT, files JSON, flow_id CHAR(32));
"""


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_langflows_messages_keep_ids_times_and_metadata(
    conninfo: str, database: Database, file: Path, postgres: str, kind: str
) -> None:
    place: Path | str = file if kind == "sqlite" else postgres
    flow: Any = FLOW.hex if kind == "sqlite" else FLOW
    owner: Any = OWNER.hex if kind == "sqlite" else OWNER
    rows = [
        langflow_row(place, "two", 2, sender="Machine", sender_name="AI"),
        langflow_row(place, "one", 1),
        langflow_row(place, "failed", 3, sender="Machine", category="error"),
        langflow_row(place, "by itself", 4, sender="Robot", session_id=""),
        langflow_row(place, "no flow", 5, flow_id=None, user_id=None),
    ]
    script = LANGFLOW_SQLITE if kind == "sqlite" else LANGFLOW_POSTGRES
    named = [("flow", {"id": flow, "name": "Shop"}), ("user", {"id": owner, "username": "ana"})]
    fill_tables(place, script, *rows, *named)

    ended = recount(conninfo, "import", "langflow", place, "--json")

    assert (ended.code, ended.totals["messages_added"]) == (0, 5)
    scope = str(FLOW)
    assert said_in(database, "s1", scope) == [("user", "one"), ("assistant", "two"), ("assistant", "failed")]
    assert said_in(database, str(FLOW), scope) == [("Robot", "by itself")]
    assert said_in(database, "s1") == [("user", "no flow")]
    first, _, failed = messages_in(database, "s1", scope)
    assert first.id == UUID(str(rows[1][1]["id"]))
    assert first.timestamp == datetime(2026, 1, 2, 3, 4, 1, 500, tzinfo=UTC)
    assert first.name == "Ana"
    assert first.user_id == str(OWNER)
    assert first.metadata["langflow"] == {
        "sender": "User",
        "properties": {"icon": "x"},
        "files": ["f/a.png"],
        "run_id": str(OWNER),
        "error": False,
        "edit": False,
        "is_output": False,
        "category": "message",
        "content_blocks": [],
    }
    assert "error" not in first.metadata
    assert failed.metadata["error"] is True
    session = get_session(database, "default", "s1", scope=scope)
    assert session.user_id == str(OWNER)
    assert origin_of(database, "s1", scope) == {
        "kind": "langflow",
        "key": "message",
        "flow_name": "Shop",
        "username": "ana",
    }

    fill_tables(place, "", langflow_row(place, "three", 6))
    again = recount(conninfo, "import", "langflow", place, "--json")
    assert (again.totals["messages_added"], again.totals["messages_known"]) == (1, 5)
    assert said_in(database, "s1", scope)[-1] == ("user", "three")


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_langflows_messages_read_as_they_did_there(
    conninfo: str, database: Database, file: Path, postgres: str, kind: str
) -> None:
    """What Langflow 1.13.0 itself told of these rows, by its own API."""
    place: Path | str = file if kind == "sqlite" else postgres
    steps = {"title": "Agent Steps", "contents": [{"type": "tool_use", "name": "t", "id": "1"}]}
    blocks = [steps, {"type": "text", "text": "so"}, {"type": "text", "text": "be it"}]
    rows = [
        langflow_row(place, "plain", 1, context_id="", properties="{}", files="[]"),
        langflow_row(place, "failed", 2, sender="OpenAI", sender_name="OpenAI", category="error"),
        langflow_row(place, "edited", 3, edit=True, session_metadata=json.dumps({"a": [None]})),
        langflow_row(place, "agent", 4, sender="Machine", content_blocks=json.dumps(blocks)),
        langflow_row(place, "nameless", 5, sender="", sender_name=""),
        langflow_row(place, "uncategorised", 6, category=None, run_id=None, user_id=None),
        langflow_row(place, None, 7, context_id="c"),
    ]
    fill_tables(place, LANGFLOW_SQLITE if kind == "sqlite" else LANGFLOW_POSTGRES, *rows)

    assert recount(conninfo, "import", "langflow", place).code == 0

    with TestClient(create_app(Settings(), conninfo), base_url="http://127.0.0.1") as client:
        asked = {"flow_id": str(FLOW), "end_user_id": OWNER.hex}
        owned = client.get("/api/v1/monitor/messages", params=asked).json()
        listed = client.get("/api/v1/monitor/messages", params={"flow_id": str(FLOW)}).json()
        plain, failed, edited, agent, nameless, uncategorised, empty = listed
        updated = client.put(f"/api/v1/monitor/messages/{plain['id']}", json={}).json()
    assert [item["text"] for item in owned] == ["plain", "failed", "edited", "agent", "nameless", ""]
    assert (plain["files"], plain["context_id"], plain["session_metadata"]) == ("[]", "", None)
    assert plain["timestamp"] == "2026-01-02 03:04:01.000500 UTC"
    assert (failed["sender"], failed["category"], failed["properties"]["icon"]) == ("OpenAI", "error", "x")
    assert (edited["edit"], edited["session_metadata"]) == (True, {"a": [None]})
    (group,) = agent["content_blocks"]
    assert [leaf.get("text") for leaf in group["contents"]] == [None, "sobe it"]
    assert (nameless["sender"], nameless["sender_name"]) == ("", "")
    assert uncategorised["category"] is None
    assert (empty["text"], empty["context_id"], empty["files"]) == ("", "c", '["f/a.png"]')
    assert (updated["error"], updated["run_id"]) == (False, str(OWNER))


def test_langflows_first_releases(conninfo: str, database: Database, file: Path) -> None:
    members = ("id", "timestamp", "sender", "sender_name", "session_id", "text", "flow_id")
    _, row = langflow_row(file, "one", 1, timestamp="2024-09-01 10:00:00")
    fill_tables(file, LANGFLOW_OLD, ("message", {name: row[name] for name in members}))
    assert recount(conninfo, "import", "langflow", file).code == 0
    (message,) = messages_in(database, "s1", str(FLOW))
    assert message.timestamp == datetime(2024, 9, 1, 10, tzinfo=UTC)


def test_a_message_that_was_edited_there_is_told_and_stays_here(
    conninfo: str, database: Database, file: Path
) -> None:
    fill_tables(file, LANGFLOW_SQLITE, langflow_row(file, "one", 1))
    recount(conninfo, "import", "langflow", file)
    fill_tables(file, "UPDATE message SET text = 'other'", langflow_row(file, "two", 2))
    account = recount(conninfo, "import", "langflow", file, "--json").accounts["s1"]
    assert account["added"] == 1
    assert "changed there" in account["warnings"][0]
    assert [content for _, content in said_in(database, "s1", str(FLOW))] == ["one", "two"]


def test_a_file_that_langflow_has_open_is_read_with_its_newest_rows(
    conninfo: str, database: Database, file: Path
) -> None:
    fill_tables(file, f"PRAGMA journal_mode = WAL; {LANGFLOW_SQLITE}")
    with closing(sqlite3.connect(file)) as langflow:
        table, row = langflow_row(file, "in the -wal", 1)
        names, marks = ", ".join(row), ", ".join("?" * len(row))
        langflow.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", list(row.values()))
        langflow.commit()
        assert recount(conninfo, "import", "langflow", file).code == 0
    assert said_in(database, "s1", str(FLOW)) == [("user", "in the -wal")]


def test_reading_leaves_the_file_and_its_directory_as_they_are(conninfo: str, file: Path) -> None:
    fill_tables(file, f"PRAGMA journal_mode = WAL; {LANGFLOW_SQLITE}", langflow_row(file, "one", 1))
    before = file.read_bytes()
    assert recount(conninfo, "import", "langflow", file).code == 0
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


def test_postgresql_is_read_in_a_transaction_that_cannot_write(postgres: str) -> None:
    fill_tables(postgres, "CREATE SEQUENCE s")
    with opened_tables(postgres) as tables, pytest.raises(SourceFailed, match="ReadOnlySqlTransaction"):
        list(tables.rows("SELECT nextval('s')"))


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_source_that_breaks_off_is_gone_on_with(
    application: Recount, context: Make, file: Path, postgres: str, kind: str
) -> None:
    place: Path | str = file if kind == "sqlite" else postgres
    rows = [langflow_row(place, str(number), number % 60, session_id=f"s{number}") for number in range(400)]
    fill_tables(place, LANGFLOW_SQLITE if kind == "sqlite" else LANGFLOW_POSTGRES, *rows)

    def breaking_off(talks: Iterator[Talk]) -> Iterator[Talk]:
        for number, talk in enumerate(talks):
            if number == 300:
                raise SourceFailed("the source went away")
            yield talk

    def bring_in(told: Callable[[Iterator[Talk]], Iterator[Talk]]) -> StoreImporter:
        importer = StoreImporter(context, application=application, on_account=lambda account: None)
        with opened_tables(str(place)) as tables:
            for _ in importer.run(told(langflow.read(tables).talks)):
                pass
        return importer

    with pytest.raises(SourceFailed):
        bring_in(breaking_off)
    report = bring_in(lambda talks: talks).report
    assert report.conversations_known >= 128
    assert report.conversations_known + report.conversations_added == 400
    assert bring_in(lambda talks: talks).report.conversations_known == 400


@pytest.mark.parametrize(
    ("kind", "content", "sentence"),
    [
        ("langflow", None, "there is no such file of SQLite's"),
        ("langflow", b"rosebud" * 100, "the file of SQLite's cannot be read"),
        ("flowise", b"", "the source has no table chat_message"),
    ],
)
def test_what_is_no_such_database_is_told_in_one_sentence(
    conninfo: str, file: Path, kind: str, content: bytes | None, sentence: str
) -> None:
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SourceFailed, match=sentence):
        recount(conninfo, "import", kind, file)


# Flowise's first releases.

FLOWISE_FIRST = """
CREATE TABLE chat_message (id varchar PRIMARY KEY NOT NULL, role varchar NOT NULL,
  chatflowid varchar NOT NULL, content text NOT NULL, "sourceDocuments" text,
  "createdDate" datetime NOT NULL);
"""
FLOWISE_2023 = """
ALTER TABLE chat_message ADD COLUMN "chatType" varchar NOT NULL DEFAULT 'INTERNAL';
ALTER TABLE chat_message ADD COLUMN "chatId" varchar NOT NULL DEFAULT '';
ALTER TABLE chat_message ADD COLUMN "sessionId" varchar;
ALTER TABLE chat_message ADD COLUMN "memoryType" varchar;
ALTER TABLE chat_message ADD COLUMN "usedTools" text;
ALTER TABLE chat_message ADD COLUMN "fileAnnotations" text;
"""
# Flowise 3.1.4, as its own migrations made the tables.

FLOWISE_POSTGRES = """
CREATE TABLE chat_message (id uuid PRIMARY KEY, role character varying NOT NULL, chatflowid uuid NOT NULL,
  content text NOT NULL, "sourceDocuments" text,
  "createdDate" timestamp without time zone DEFAULT now() NOT NULL,
  "chatType" character varying DEFAULT 'INTERNAL'::character varying NOT NULL,
  "chatId" character varying NOT NULL, "memoryType" character varying, "sessionId" character varying,
  "usedTools" text, "fileAnnotations" text, "fileUploads" text, "leadEmail" text, "agentReasoning" text,
  action text, artifacts text, "followUpPrompts" text, "executionId" uuid, "reasonContent" text);
CREATE TABLE chat_message_feedback (id uuid PRIMARY KEY, chatflowid uuid NOT NULL, content text,
  "chatId" character varying NOT NULL, "messageId" uuid NOT NULL UNIQUE, rating character varying NOT NULL,
  "createdDate" timestamp without time zone DEFAULT now() NOT NULL);
CREATE TABLE chat_flow (id uuid PRIMARY KEY, name character varying NOT NULL, "flowData" text NOT NULL,
  deployed boolean, "isPublic" boolean, apikeyid character varying, "chatbotConfig" text,
  "createdDate" timestamp without time zone DEFAULT now() NOT NULL,
  "updatedDate" timestamp without time zone DEFAULT now() NOT NULL, "apiConfig" text, analytic text,
  category text, "speechToText" text, type character varying(20) DEFAULT 'CHATFLOW'::text NOT NULL,
  "workspaceId" uuid, "followUpPrompts" text, "textToSpeech" text, "mcpServerConfig" text,
  "webhookSecret" text, "webhookSecretConfigured" boolean DEFAULT false);
"""
MOVED = Path(__file__).parent.parent / "protocols" / "langflux" / "moved.json"
"""Rows of a Flowise 3.1.4, and what its API told of them; the same from SQLite and from PostgreSQL."""


def flowise_script(place: Path | str) -> str:
    return FLOWISE_SQLITE if isinstance(place, Path) else FLOWISE_POSTGRES


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_flowises_messages_with_feedback_and_traps(
    conninfo: str, database: Database, file: Path, postgres: str, kind: str
) -> None:
    place: Path | str = file if kind == "sqlite" else postgres
    swapped = {
        "usedTools": json.dumps([{"fileName": "a.pdf"}]),
        "fileAnnotations": json.dumps([{"tool": "search"}]),
    }
    rows = [
        flowise_row(
            "two", "2024-05-01 10:00:00.250", role="apiMessage", chatId="c", sessionId="s", **swapped
        ),
        flowise_row("one", "2024-05-01 10:00:00", chatId="c", sessionId="s", memoryType="", action="{bad"),
        flowise_row("other", "2024-05-01 10:00:01", chatId="c", sessionId=None),
    ]
    answer = rows[0][1]["id"]
    ratings = [("THUMBS_UP", "2024-05-01 10:02:00")]
    if kind == "sqlite":  # PostgreSQL lets a message have one
        ratings.append(("THUMBS_DOWN", "2024-05-01 10:01:00"))
    opinions = [
        {"id": str(uuid4()), "chatflowid": CHATFLOW, "chatId": "c", "messageId": answer}
        | {"rating": rating, "createdDate": when}
        for rating, when in ratings
    ]
    flow = ("chat_flow", {"id": CHATFLOW, "name": "Shop", "flowData": "{}"})
    fill_tables(
        place, flowise_script(place), *rows, *(("chat_message_feedback", one) for one in opinions), flow
    )

    ended = recount(conninfo, "import", "flowise", place, "--json")

    assert (ended.code, ended.totals["messages_added"]) == (0, 3)
    assert said_in(database, "s", CHATFLOW) == [("user", "one"), ("assistant", "two")]
    assert said_in(database, "c", CHATFLOW) == [("user", "other")]
    first, second = messages_in(database, "s", CHATFLOW)
    assert (str(second.id), second.timestamp) == (answer, datetime(2024, 5, 1, 10, 0, 0, 250_000, UTC))
    one, two = first.metadata["langflux"], second.metadata["langflux"]
    assert (one["action"], one["memoryType"], "sessionId" in one) == ("{bad", "", False)
    assert two["usedTools"] == [{"tool": "search"}]
    assert two["fileAnnotations"] == [{"fileName": "a.pdf"}]
    created = {"createdDate": "2024-05-01T10:02:00.000Z"}
    assert two["feedback"] == opinions[0] | created | {"content": None}
    earlier = [opinion["rating"] for opinion in two.get("feedback_earlier", [])]
    assert earlier == [rating for rating, _ in ratings[1:]]
    assert two["chatId"] == "c"
    assert origin_of(database, "s", CHATFLOW)["flow_name"] == "Shop"
    assert recount(conninfo, "import", "flowise", place, "--json").totals["messages_known"] == 3


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_what_came_from_a_flowise_reads_as_it_did_there(
    client: TestClient, conninfo: str, file: Path, postgres: str, kind: str
) -> None:
    place: Path | str = file if kind == "sqlite" else postgres
    moved = json.loads(MOVED.read_text())
    (flow,) = (row | {"flowData": "{}"} for row in moved["chat_flow"])
    messages = [("chat_message", row) for row in moved["chat_message"]]
    opinions = [("chat_message_feedback", row) for row in moved["chat_message_feedback"]]
    fill_tables(place, flowise_script(place), ("chat_flow", flow), *messages, *opinions)

    assert recount(conninfo, "import", "flowise", place).code == 0

    path = f"/api/v1/chatmessage/{flow['id']}"
    assert client.get(path, params={"feedback": "true"}).json() == moved["messages"]
    assert client.get(f"/api/v1/feedback/{flow['id']}").json() == moved["feedback"]
    for asked in ({"chatType": "MCP"}, {"chatId": "A"}, {"sessionId": ""}, {"memoryType": ""}):
        ((name, value),) = asked.items()
        wanted = [one["id"] for one in moved["messages"] if one[name] == value]
        assert [one["id"] for one in client.get(path, params=asked).json()] == wanted
    again = recount(conninfo, "import", "flowise", place, "--json").totals
    assert (again["messages_added"], again["messages_known"]) == (0, len(messages))


def test_flowises_first_schema_is_one_conversation_that_stays_so_when_it_is_migrated(
    client: TestClient, conninfo: str, database: Database, file: Path
) -> None:
    rows = [flowise_row("one", "2023-06-01 10:00:00"), flowise_row("two", "2023-06-01 10:00:01")]
    fill_tables(file, FLOWISE_FIRST, *reversed(rows))
    first = rows[0][1]["id"]
    assert recount(conninfo, "import", "flowise", file).code == 0
    assert said_in(database, first, CHATFLOW) == [("user", "one"), ("user", "two")]
    told = client.get(f"/api/v1/chatmessage/{CHATFLOW}").json()
    assert [(one["chatId"], one["sessionId"], one["chatType"]) for one in told] == [
        (first, None, "INTERNAL"),
        (first, None, "INTERNAL"),
    ]

    fill_tables(file, f"{FLOWISE_2023} UPDATE chat_message SET \"chatId\" = '{first}';")
    again = recount(conninfo, "import", "flowise", file, "--json")
    assert (again.totals["messages_added"], set(again.accounts)) == (0, {first})


# Zep, as bun makes its tables; an early release, and the last.

ZEP = """
CREATE TABLE users (uuid uuid PRIMARY KEY DEFAULT gen_random_uuid(), id bigserial,
  created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now(),
  deleted_at timestamptz, user_id varchar UNIQUE NOT NULL,
  email varchar, first_name varchar, last_name varchar, metadata jsonb);
CREATE TABLE session (uuid uuid PRIMARY KEY DEFAULT gen_random_uuid(), id bigserial,
  session_id varchar UNIQUE NOT NULL, created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(), deleted_at timestamptz, metadata jsonb, user_id varchar);
CREATE TABLE message (uuid uuid PRIMARY KEY DEFAULT gen_random_uuid(), id bigserial,
  created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz, deleted_at timestamptz,
  session_id varchar NOT NULL, role varchar NOT NULL, content varchar NOT NULL, token_count bigint NOT NULL,
  metadata jsonb);
CREATE TABLE summary (uuid uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz, deleted_at timestamptz,
  session_id varchar NOT NULL, content varchar, metadata jsonb, token_count bigint NOT NULL,
  summary_point_uuid uuid NOT NULL);
"""
ZEP_EARLY = ZEP.replace(", user_id varchar);", ", user_uuid uuid);").replace(
    "email varchar, first_name varchar, last_name varchar,", ""
)


def zep_message(session: str, role: str, content: str, **members: Any) -> tuple[str, dict[str, Any]]:
    row = {"uuid": uuid4(), "session_id": session, "role": role, "content": content, "token_count": 3}
    return "message", row | {"created_at": "2024-05-01 12:00:00.5+02"} | members


def test_zeps_sessions_users_and_summaries(
    client: TestClient, conninfo: str, database: Database, postgres: str
) -> None:
    rows = [
        zep_message("s1", "human", "hi", metadata=json.dumps({"system": {"n": 1}})),
        zep_message("s1", "ai", "hello"),
        zep_message("s1", "ai", "taken back", deleted_at="2024-05-01"),
    ]
    summary = {"content": "A chat.", "token_count": 2, "summary_point_uuid": rows[0][1]["uuid"]}
    summary |= {"uuid": uuid4(), "created_at": "2024-05-01 12:00:00.5+02"}
    older = {"token_count": 2, "summary_point_uuid": uuid4()}
    fill_tables(
        postgres,
        ZEP,
        ("users", {"user_id": "ana", "email": "ana@example.org", "metadata": json.dumps({"plan": "pro"})}),
        ("session", {"session_id": "s1", "user_id": "ana", "metadata": json.dumps({"k": 1})}),
        ("session", {"session_id": "empty"}),
        ("session", {"session_id": "gone", "deleted_at": "2024-05-01"}),
        *rows,
        ("summary", {"session_id": "s1"} | summary),
        ("summary", {"session_id": "s1", "content": "Old.", "created_at": "2023-01-01", **older}),
    )

    ended = recount(conninfo, "import", "zep", postgres, "--json")

    assert (ended.code, set(ended.accounts)) == (0, {"s1", "empty"})
    assert said_in(database, "s1") == [("human", "hi"), ("ai", "hello")]
    first, _ = messages_in(database, "s1")
    assert (first.id, first.token_count) == (rows[0][1]["uuid"], 3)
    assert first.timestamp == datetime(2024, 5, 1, 10, 0, 0, 500_000, tzinfo=UTC)
    assert first.metadata["system"] == {"n": 1}
    session = get_session(database, "default", "s1")
    assert (session.user_id, (session.metadata or {})["k"]) == ("ana", 1)
    memory = client.get("/api/v1/sessions/s1/memory").json()
    assert [message["content"] for message in memory["messages"]] == ["hello"]
    assert memory["summary"] == {
        "uuid": str(summary["uuid"]),
        "created_at": "2024-05-01T10:00:00.5Z",
        "content": "A chat.",
        "recent_message_uuid": str(rows[0][1]["uuid"]),
        "token_count": 2,
    }
    user = get_user(database, "default", "ana")
    assert (user.profile.email, user.metadata) == ("ana@example.org", {"plan": "pro"})
    again = recount(conninfo, "import", "zep", postgres, "--json")
    assert (again.code, again.totals["messages_added"], again.totals["conversations_known"]) == (0, 0, 2)


def test_an_early_zep_names_a_sessions_user_by_key(conninfo: str, database: Database, postgres: str) -> None:
    key = uuid4()
    fill_tables(
        postgres,
        ZEP_EARLY,
        ("users", {"uuid": key, "user_id": "ana"}),
        ("session", {"session_id": "s1", "user_uuid": key}),
        zep_message("s1", "human", "hi"),
    )
    assert recount(conninfo, "import", "zep", postgres).code == 0
    assert get_session(database, "default", "s1").user_id == "ana"


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_an_import_that_was_killed_goes_on_without_taking_anything_twice(
    conninfo: str, database: Database, file: Path
) -> None:
    rows = [
        langflow_row(file, str(number), number % 60, session_id=f"s{number // 10}") for number in range(8_000)
    ]
    fill_tables(file, LANGFLOW_SQLITE, *rows)
    count = "SELECT count(*), count(DISTINCT message_id) FROM messages"
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("RECOUNT_", "PG"))
    }
    process = subprocess.Popen(
        [str(Path(sys.executable).parent / "recount"), "import", "langflow", str(file)],
        env=environment | {"RECOUNT_DATABASE_URL": conninfo},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while database.fetch(count)[0][0] < 500:
        assert time.monotonic() < deadline, "nothing is imported"
        time.sleep(0.01)
    process.kill()
    process.wait()
    before = database.fetch(count)[0][0]
    assert before < 8_000, "it was done before it was killed"

    totals = recount(conninfo, "import", "langflow", file, "--json").totals

    assert totals["messages_known"] >= before  # what was under way may have been committed after all
    assert totals["messages_added"] + totals["messages_known"] == 8_000
    assert database.fetch(count) == [(8_000, 8_000)]
