"""Tables of other people's stores (Langflow, Flowise), as their programs make them."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg

FLOW = UUID("5f9c1d0e-8a54-4d7c-a2f0-0d4b1c7f3e21")


OWNER = UUID("9b6a3e52-5c7e-4a36-8f0f-1d2b3c4d5e6f")
CHATFLOW = str(FLOW)


def fill_tables(place: Path | str, script: str, *rows: tuple[str, dict[str, Any]]) -> None:
    """Run ``script``, then insert ``rows`` (table and columns), in SQLite or PostgreSQL."""
    if isinstance(place, Path):
        with closing(sqlite3.connect(place)) as connection:
            connection.executescript(script)
            for table, row in rows:
                names = ", ".join(f'"{name}"' for name in row)
                marks = ", ".join("?" * len(row))
                connection.execute(f'INSERT INTO "{table}" ({names}) VALUES ({marks})', list(row.values()))
            connection.commit()
        return
    with psycopg.connect(place, autocommit=True) as connection:
        if script:
            connection.execute(script.encode())
        for table, row in rows:
            names = ", ".join(f'"{name}"' for name in row)
            marks = ", ".join(["%s"] * len(row))
            statement = f'INSERT INTO "{table}" ({names}) VALUES ({marks})'
            connection.execute(statement.encode(), list(row.values()))


LANGFLOW = """
CREATE TABLE message (timestamp {timestamp} NOT NULL, sender VARCHAR NOT NULL, sender_name VARCHAR NOT NULL,
  session_id VARCHAR NOT NULL, text TEXT, id {id} NOT NULL, flow_id {id}, files JSON,
  error BOOLEAN DEFAULT {false} NOT NULL, edit BOOLEAN DEFAULT {false} NOT NULL, properties JSON,
  category TEXT, content_blocks JSON, context_id VARCHAR, session_metadata JSON, run_id {id},
  is_output BOOLEAN DEFAULT false NOT NULL, user_id {id}, CONSTRAINT pk_message PRIMARY KEY (id));
CREATE INDEX ix_message_flow_id_timestamp_id ON message (flow_id, timestamp, id);
CREATE TABLE flow (name VARCHAR NOT NULL, description TEXT, updated_at {timestamp}, endpoint_name VARCHAR,
  data JSON, id {id} NOT NULL, user_id {id}, folder_id {id}, PRIMARY KEY (id), UNIQUE (id));
CREATE TABLE "user" (id {id} NOT NULL, username VARCHAR NOT NULL, PRIMARY KEY (id), UNIQUE (id));
"""


LANGFLOW_SQLITE = LANGFLOW.format(id="CHAR(32)", timestamp="DATETIME", false="0")


LANGFLOW_POSTGRES = LANGFLOW.format(id="uuid", timestamp="timestamp with time zone", false="false")


def langflow_row(
    place: Path | str, text: str | None, second: int, **members: Any
) -> tuple[str, dict[str, Any]]:
    is_file = isinstance(place, Path)

    def id_(value: UUID) -> Any:
        return value.hex if is_file else value

    row = {
        "id": id_(uuid4()),
        "timestamp": f"2026-01-02 03:04:{second:02}.000500{'' if is_file else '+00'}",
        "sender": "User",
        "sender_name": "Ana",
        "session_id": "s1",
        "text": text,
        "files": json.dumps(["f/a.png"]),
        "error": False,
        "edit": False,
        "is_output": False,
        "properties": json.dumps({"icon": "x"}),
        "category": "message",
        "content_blocks": "[]",
        "session_metadata": "null",
        "flow_id": id_(FLOW),
        "run_id": id_(OWNER),
        "user_id": id_(OWNER),
    }
    return "message", row | members


FLOWISE_SQLITE = """
CREATE TABLE "chat_message" ("id" varchar PRIMARY KEY NOT NULL, "role" varchar NOT NULL,
  "chatflowid" varchar NOT NULL, "content" text NOT NULL, "sourceDocuments" text, "usedTools" text,
  "fileAnnotations" text, "fileUploads" text, "createdDate" datetime NOT NULL DEFAULT (datetime('now')),
  "chatType" VARCHAR NOT NULL DEFAULT 'INTERNAL', "chatId" VARCHAR NOT NULL, "memoryType" VARCHAR,
  "sessionId" VARCHAR, "leadEmail" TEXT, "agentReasoning" TEXT, "action" TEXT, "artifacts" TEXT,
  "followUpPrompts" TEXT, "executionId" varchar, "reasonContent" TEXT);
CREATE TABLE "chat_message_feedback" ("id" varchar PRIMARY KEY NOT NULL, "chatflowid" varchar NOT NULL,
  "chatId" varchar NOT NULL, "messageId" varchar NOT NULL, "rating" varchar NOT NULL, "content" text,
  "createdDate" datetime NOT NULL DEFAULT (datetime('now')));
CREATE TABLE "chat_flow" ("id" varchar PRIMARY KEY NOT NULL, "name" varchar NOT NULL,
  "flowData" text NOT NULL, "deployed" boolean, "isPublic" boolean, "apikeyid" varchar, "chatbotConfig" text,
  "createdDate" datetime NOT NULL DEFAULT (datetime('now')),
  "updatedDate" datetime NOT NULL DEFAULT (datetime('now')), "apiConfig" TEXT, "analytic" TEXT,
  "category" TEXT, "speechToText" TEXT, "type" VARCHAR(20) NOT NULL DEFAULT 'CHATFLOW', "workspaceId" TEXT,
  "followUpPrompts" TEXT, "textToSpeech" TEXT, "mcpServerConfig" TEXT, "webhookSecret" TEXT,
  "webhookSecretConfigured" BOOLEAN DEFAULT FALSE);
"""


def flowise_row(content: str, created: str, **members: Any) -> tuple[str, dict[str, Any]]:
    row = {"id": str(uuid4()), "role": "userMessage", "chatflowid": CHATFLOW, "content": content}
    return "chat_message", row | {"createdDate": created} | members
