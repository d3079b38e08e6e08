"""The command line, called in this process on a database of its own: what it prints and how it ends."""

from __future__ import annotations

import gzip
import io
import json
import os
import pty
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from psycopg.conninfo import make_conninfo

from recountdb import api
from recountdb.api import cli
from recountdb.api.app import NotServable
from recountdb.api.cli import replay as replaying
from recountdb.api.cli.claim import DirectoryIsServed, claim_directory, find_server
from recountdb.api.server import listen, server_address
from recountdb.domain.commands.common import Delete, MergeMetadata
from recountdb.domain.commands.conversations import (
    AddMessages,
    ChangeMessage,
    DeleteMessage,
    Fork,
    RenameSession,
)
from recountdb.domain.events import Context
from recountdb.domain.messages import Message
from recountdb.eventlog.application import Recount as Application
from recountdb.eventlog.postgres.database import Database, connect
from recountdb.eventlog.postgres.schema import migrations_of
from recountdb.projections.followers.follower import create_checkpoint
from recountdb.projections.followers.webhooks import FOLLOWER as WEBHOOKS
from recountdb.projections.lists.paging import Window
from recountdb.projections.rebuild import shadow
from recountdb.projections.views.messages import page_messages
from recountdb.projections.views.registry import CoreViews
from recountdb.projections.views.sessions import get_session
from tests.support.postgres import new_database

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "api/sample/taskmaster4-sample.jsonl.gz"
SECRET = "rosebud"
HEAVY = ["fastapi", "uvicorn", "psycopg", "pydantic_settings", "eventsourcing"]

# Where the kind of PostgreSQL plays no part, one is enough.
on_embedded = pytest.mark.parametrize("server", ["embedded"], indirect=True)


@dataclass(frozen=True)
class Ended:
    """How a command ended and what it printed."""

    code: object
    out: str
    err: str

    def items(self) -> list[dict[str, Any]]:
        """Its JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]


Recount = Callable[..., Ended]


@pytest.fixture
def program(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Recount:
    """Runs the program; its store is whatever the environment names by then."""
    for name in os.environ:
        if name.startswith(("RECOUNT_", "PG")):
            monkeypatch.delenv(name)

    def run(*arguments: object) -> Ended:
        capfd.readouterr()
        with pytest.raises(SystemExit) as exit:
            cli.main([str(argument) for argument in arguments])
        return Ended(exit.value.code, *capfd.readouterr())

    return run


@pytest.fixture
def recount(program: Recount, conninfo: str, monkeypatch: pytest.MonkeyPatch) -> Recount:
    """Runs the program on a migrated, empty database."""
    monkeypatch.setenv("RECOUNT_DATABASE_URL", conninfo)
    return program


@pytest.fixture
def talk(recount: Recount, tmp_path: Path) -> str:
    """The name of a session of three messages, the second of which calls a tool."""
    call = {"function": {"name": "get_menu", "arguments": '{"of": "day"}'}}
    messages = [
        {"role": "user", "content": "One chai latte, please."},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "\x1b[31mred\x1b[0m [bold]x[/bold]"},
    ]
    file = tmp_path / "talk.jsonl"
    told = {"id": "talk", "user_id": "ana", "metadata": {"city": "Lisbon"}, "messages": messages}
    file.write_text(json.dumps(told))
    assert recount("import", file).code == 0
    return "talk"


# Help and failures


def test_help_loads_nothing_heavy() -> None:
    script = f"""
import sys
from recountdb.api.cli import main
try:
    main(sys.argv[1:])
except SystemExit:
    print([name for name in {HEAVY} if name in sys.modules])
"""
    for arguments in (
        ["--help"],
        ["serve", "--help"],
        ["keys", "--help"],
        ["--version"],
        ["no-such-command"],
    ):
        command = [sys.executable, "-c", script, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
        assert done.stdout.splitlines()[-1] == "[]", arguments


def test_help_tells_the_exit_codes(program: Recount) -> None:
    told = " ".join(program("--help").out.split())
    assert "Exit codes: 0 all went well; 1 a part did not" in told
    assert program("-h") == program("--help")


def test_version(program: Recount) -> None:
    assert re.fullmatch(r"recount \d+\.\d+\.\d+\n", program("--version").out)


@pytest.mark.parametrize(
    "arguments",
    [["no-such-command"], ["sessions", "--no-such-option"], ["sessions", "--limit", "0"], ["messages"]],
)
def test_wrong_use(program: Recount, arguments: list[str]) -> None:
    ended = program(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert "Usage: recount" in ended.err


@on_embedded
@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["messages", "nobody"], 2, "There is no such session."),
        (["audit", "--thread", "nobody"], 2, "There is no such thread."),
        (
            ["audit", "a", "--user", "b"],
            2,
            "SESSION: name one session, thread or user, and that of one project.",
        ),
        (["sessions", "--metadata", "[]"], 2, "--metadata: must be a JSON object."),
        (
            ["messages", "a", "--as-of", "now"],
            2,
            "--as-of: must be a version like 7 or a time like 2026-11-20T19:50:25Z.",
        ),
        (["diff", "nobody", "--from", "1"], 2, "There is no such session."),
        (
            ["diff", "a", "--from", "then"],
            2,
            "--from: must be a version like 7 or a time like 2026-11-20T19:50:25Z.",
        ),
        (
            ["diff", "a", "--from", "1", "--to", "x"],
            2,
            "--to: must be a version like 7 or a time like 2026-11-20T19:50:25Z.",
        ),
        (["replay", "nobody"], 2, "There is no such session."),
        (["replay", "a", "--speed", "fast"], 2, "--speed: must be a number like 10x, or max for no pauses."),
        (["replay", "a", "--speed", "-1"], 2, "--speed: must be a number like 10x, or max for no pauses."),
        (["export", "--session", "nobody"], 2, "There is no such session."),
        (["keys", "revoke", "nothing"], 2, "There is no such key."),
        (["import", "/no/such/file"], 2, "Cannot use /no/such/file: No such file or directory."),
        (["import", "/"], 2, "Cannot use /: Is a directory."),
        (["import", os.devnull, "--user-id", ""], 2, "--user-id: must have 1 to 512 characters."),
        (
            ["import", os.devnull, "--project", "Not A Name"],
            2,
            "Project: must be 1 to 64 of a-z 0-9 . _ - and begin and end with a-z 0-9.",
        ),
        (["messages", "\udcff"], 2, "A word on the command line is not UTF-8."),
    ],
)
def test_a_refusal_is_one_sentence(recount: Recount, arguments: list[str], code: int, sentence: str) -> None:
    assert recount(*arguments) == Ended(code, "", f"{sentence}\n")


def test_a_store_that_is_not_there(program: Recount, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for command in (["sessions"], ["messages", "a"], ["export"], ["status"], ["keys", "list"]):
        ended = program(*command, "--data", tmp_path / "nothing")
        assert ended.code == 3
        assert ended.err.startswith(f"There is no data in {tmp_path / 'nothing'} yet")
    assert not (tmp_path / "nothing").exists()

    monkeypatch.setenv("RECOUNT_DATABASE_URL", f"postgresql://ana:{SECRET}@127.0.0.1:1/nowhere")
    for command in (["sessions"], ["status"], ["import", os.devnull], ["migrate"]):
        ended = program(*command)
        assert (ended.code, ended.out) == (3, "")
        assert ended.err.startswith("Cannot connect to the database: connection to server at")
        assert ended.err.endswith("Connection refused: see whether it runs there.\n")
        assert SECRET not in ended.err


def test_an_unknown_setting(program: Recount, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECOUNT_PROT", "1")
    refusal = "Unknown setting RECOUNT_PROT: did you mean RECOUNT_PORT?\n"
    assert program("status") == Ended(2, "", refusal)


def test_an_unexpected_failure_shows_no_content(recount: Recount, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise ValueError(SECRET)

    monkeypatch.setattr("recountdb.projections.views.sessions.list_sessions", fail)
    ended = recount("sessions")
    assert ended.code == 70
    assert ended.err.startswith("This is a fault of Recount itself (ValueError).")
    assert "RECOUNT_DEBUG=1" in ended.err
    assert SECRET not in ended.err

    monkeypatch.setenv("RECOUNT_DEBUG", "1")
    with pytest.raises(ValueError, match=SECRET):
        cli.main(["sessions"])


def test_a_schema_that_does_not_fit(recount: Recount, conninfo: str) -> None:
    with connect(conninfo) as connection:
        connection.execute("INSERT INTO schema_migrations VALUES ('eventlog', 9999, 'from_the_future')")
    for command in (["migrate"], ["sessions"], ["import", os.devnull], ["keys", "create"]):
        ended = recount(*command)
        assert (ended.code, ended.out) == (3, "")
        assert ended.err.startswith("The database was upgraded by a newer Recount")
    assert "a newer Recount" in recount("status").out

    with connect(conninfo) as connection:
        connection.execute("DELETE FROM schema_migrations WHERE component = 'api' OR number = 9999")
    ended = recount("import", os.devnull)
    assert (ended.code, ended.err) == (
        3,
        f"The database lacks {len(migrations_of(api))} migration(s): run 'recount migrate' first.\n",
    )


def test_migrate_says_what_it_did(server: str, program: Recount, monkeypatch: pytest.MonkeyPatch) -> None:
    with new_database(server) as name:
        monkeypatch.setenv("RECOUNT_DATABASE_URL", make_conninfo(server, dbname=name))
        assert program("migrate").out.startswith("applied eventlog 0001 ")
        assert program("migrate").out == "nothing to do: the schema is up to date\n"


@on_embedded
def test_a_reader_that_goes_away_is_no_failure_to_talk_about(recount: Recount, talk: str) -> None:
    command = f"{Path(sys.executable).with_name('recount')} export | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout in ("0\n", "1\n")  # it may have been quicker than its reader's end


# Reading


def test_sessions(recount: Recount, talk: str) -> None:
    (session,) = recount("sessions", "--json").items()
    assert (session["session_id"], session["user_id"], session["message_count"]) == ("talk", "ana", 3)
    assert recount("sessions", "--json", "--user-id", "bo").items() == []
    assert len(recount("sessions", "--json", "--metadata", '{"city": "Lisbon"}').items()) == 1
    assert recount("sessions", "--json", "--deleted").items() == []
    head, row = recount("sessions").out.splitlines()
    assert head.split() == ["session", "user", "messages", "version", "updated", "metadata"]
    assert row.split()[:4] == ["talk", "ana", "3", "4"]


def test_a_list_says_where_there_is_more(recount: Recount, tmp_path: Path) -> None:
    file = tmp_path / "many"
    file.write_text("".join(json.dumps({"id": f"s{n:04}", "messages": []}) + "\n" for n in range(1100)))
    recount("import", file)
    names = [f"s{n:04}" for n in range(1100)]
    ended = recount("sessions", "--json")
    assert [item["session_id"] for item in ended.items()] == names[:50]
    assert ended.err == "There are more: see --limit.\n"
    ended = recount("sessions", "--limit", "1050", "--json")
    assert [item["session_id"] for item in ended.items()] == names[:1050]
    assert ended.err == ""
    newest = recount("sessions", "--limit", "2", "--order", "newest", "--json").items()
    assert [item["session_id"] for item in newest] == names[:-3:-1]


def test_messages(recount: Recount, talk: str) -> None:
    items = recount("messages", talk, "--json").items()
    assert [item["role"] for item in items] == ["user", "assistant", "tool"]
    newest = recount("messages", talk, "--json", "--order", "newest", "--limit", "1").items()
    assert newest == items[-1:]
    assert len(recount("messages", talk, "--json", "--as-of", "3").items()) == 2
    recorded = items[0]["recorded_at"]
    assert len(recount("messages", talk, "--json", "--as-of", recorded).items()) == 3
    assert recount("messages", talk, "--as-of", "99").err == "As_of: this version is not recorded yet.\n"


def test_a_table_of_messages_steers_no_terminal(recount: Recount, talk: str) -> None:
    out = recount("messages", talk).out
    assert '→ get_menu({"of": "day"})' in out
    assert "\N{REPLACEMENT CHARACTER}[31mred\N{REPLACEMENT CHARACTER}[0m [bold]x[/bold]" in out
    assert "\x1b" not in out
    assert len(out.splitlines()) == 4


def test_audit(recount: Recount, talk: str) -> None:
    items = recount("audit", talk, "--json").items()
    assert [item["type"] for item in items] == ["session.started", *["session.message-added"] * 3]
    assert items[0]["payload"]["metadata"] == {"city": "Lisbon"}
    assert items[0]["actor"].startswith("cli:")
    assert len({item["request_id"] for item in items}) == 1
    newest = recount("audit", talk, "--json", "--order", "newest", "--limit", "2").items()
    assert newest == items[:1:-1]
    head, *rows = recount("audit", talk).out.splitlines()
    assert head.split() == ["version", "type", "recorded", "actor", "request", "payload"]
    assert len(rows) == 4


def test_audit_of_the_whole_log(recount: Recount, talk: str, database: Database) -> None:
    trail = recount("audit", talk, "--json").items()
    whole = recount("audit", "--json").items()
    assert whole == [{"project": "default", **item} for item in trail]
    (request_id,) = {item["request_id"] for item in trail}
    actor = trail[0]["actor"]
    for arguments, count in {
        ("--actor", actor): 4,
        ("--actor", "nobody"): 0,
        ("--of-user", "ana"): 4,
        ("--type", "session.started", "--type", "session.deleted"): 1,
        ("--since", "2026-01-01T00:00:00Z", "--until", "9999-01-01"): 4,
        ("--until", "2026-01-01T00:00:00Z"): 0,
        ("--request-id", request_id, "--limit", "3"): 3,
        ("--causation-id", f"{trail[0]['stream_id']}/1"): 0,
        ("--causation-id", f"{trail[0]['stream_id']}/1", "--chain"): 1,
        ("--project", "other"): 0,
        ("--project", "other", "--all-projects"): 4,
        (talk, "--type", "session.message-added"): 3,
    }.items():
        assert len(recount("audit", "--json", *arguments).items()) == count, arguments
    head, *rows = recount("audit", "--order", "newest").out.splitlines()
    assert head.split() == [
        *("position", "type", "recorded", "actor", "request", "stream", "version", "payload")
    ]
    assert [row.split()[0] for row in rows] == ["4", "3", "2", "1"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--since", "yesterday"], "--since: must be a time like 2026-11-20T19:50:25Z."),
        (["--causation-id", "x"], "Causation_id: must be an event, as <stream id>/<version>."),
        (["nobody", "--actor", "x"], "There is no such session."),
        (["a", "--user", "b", "--actor", "x"], "SESSION: name one session, thread or user, and that of"),
        (["a", "--all-projects"], "SESSION: name one session, thread or user, and that of one project."),
    ],
    ids=str,
)
def test_an_audit_that_cannot_be(recount: Recount, arguments: list[str], says: str) -> None:
    ended = recount("audit", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(says)


def test_audit_of_reads(recount: Recount, database: Database) -> None:
    for project in ("default", "shop"):
        database.fetch(
            "INSERT INTO reads (read_at, project, actor, request_id, method, route, parameters, status)"
            " VALUES (now(), %s, 'key:one', 'r1', 'GET', '/v1/users/{user_id}', %s::json, 200) RETURNING 1",
            [project, '{"user_id": "ana"}'],
        )
    (read,) = recount("audit", "--reads", "--json").items()
    assert (read["project"], read["actor"], read["parameters"]) == ("default", "key:one", {"user_id": "ana"})
    assert len(recount("audit", "--reads", "--json", "--all-projects").items()) == 2
    assert recount("audit", "--reads", "--json", "--actor", "key:two").items() == []
    _, row = recount("audit", "--reads", "--project", "shop").out.splitlines()
    assert "/v1/users/{user_id}" in row


def test_followers(recount: Recount, talk: str, database: Database) -> None:
    assert recount("followers", "list", "--json").items() == []
    assert recount("followers", "resume", "nobody").err == "There is no such follower.\n"
    with connect(database.conninfo) as connection:
        create_checkpoint(connection, WEBHOOKS)
    ((stream_id,),) = database.fetch("SELECT stream_id FROM sessions")
    database.fetch(
        "INSERT INTO parked_streams VALUES ('webhooks', %s, 2, 'KeyError', now()) RETURNING 1", [stream_id]
    )
    (follower,) = recount("followers", "list", "--json").items()
    assert (follower["follower"], follower["position"], follower["events"]) == ("webhooks", 4, 0)
    assert [one["stream_id"] for one in follower["parked_streams"]] == [str(stream_id)]
    out = recount("followers", "list").out
    assert re.search(rf"^webhooks +{stream_id} +2 +KeyError ", out, re.MULTILINE)
    assert re.search(r"^follower webhooks is up to date; 1 stream is parked$", recount("status").out, re.M)

    assert recount("followers", "resume", "webhooks", "x").code == 2
    assert recount("followers", "resume", "webhooks", uuid4()).err == "There is no such parked stream.\n"
    assert recount("followers", "resume", "webhooks", stream_id).err == "The stream goes on.\n"
    assert recount("followers", "resume", "webhooks").err == "No stream is parked any more.\n"
    (follower,) = recount("followers", "list", "--json").items()
    assert follower["parked_streams"] == []


def test_status_tells_how_far_followers_are(recount: Recount, talk: str, database: Database) -> None:
    database.fetch("INSERT INTO followers (name, position) VALUES ('webhooks', 1) RETURNING 1")
    (status,) = recount("status", "--json").items()
    (lag,) = status["followers"]
    assert (lag["follower"], lag["events"], lag["parked_streams"]) == ("webhooks", 3, 0)
    assert lag["seconds"] > 0
    out = recount("status").out
    assert re.search(r"^follower webhooks is 3 positions and \d+ seconds behind$", out, re.MULTILINE)


def test_status(recount: Recount, talk: str) -> None:
    (status,) = recount("status", "--json").items()
    counts = {part: count["rows"] for part, count in status["counts"].items()}
    assert counts == {"sessions": 1, "threads": 0, "users": 0, "messages": 3, "events": 4}
    assert status["settled_position"] >= 4
    assert status["schema"]["problem"] is None
    assert re.search(r"^messages +3$", recount("status").out, re.MULTILINE)


def test_status_never_shows_a_password(
    recount: Recount, conninfo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECOUNT_DATABASE_URL", make_conninfo(conninfo, password=SECRET))
    for arguments in (["status"], ["status", "--json"]):
        ended = recount(*arguments)
        assert ended.code == 0
        assert SECRET not in ended.out


# Two moments compared, and a talk replayed


def changed(conninfo: str, session: str) -> None:
    """Edit the first message of ``session`` and delete the last, rename it, delete it, write to it again."""
    kind, new = "session", f"{session}-b"
    database = Database(conninfo)
    database.open()
    application = Application(database, CoreViews(database))
    messages = page_messages(database, "default", "session", session, Window(order="oldest")).items
    first, last = messages[0].id, messages[-1].id
    said = Message(id=uuid4(), role="user", content="And a scone.")
    for hours, command in enumerate(
        [
            ChangeMessage(kind=kind, name=session, message_id=first, changes={"content": "Two, please."}),
            ChangeMessage(kind=kind, name=session, message_id=first, metadata={"mood": "good"}),
            DeleteMessage(kind=kind, name=session, message_id=last),
            MergeMetadata(kind=kind, name=session, metadata={"city": "Porto"}),
            RenameSession(name=session, new_name=new),
            Delete(kind=kind, name=new),
            AddMessages(kind=kind, name=new, messages=[said]),
            Fork(name="fork", source=get_session(database, "default", session), messages=[]),
        ]
    ):
        at = datetime(2096, 1, 1, tzinfo=UTC) + timedelta(hours=hours)
        application.execute(command, Context(project="default", actor="test", at=at))
    application.close()
    database.close()


@on_embedded
def test_diff_tells_what_changed_in_words(recount: Recount, talk: str, conninfo: str) -> None:
    changed(conninfo, talk)
    assert recount("diff", "talk-b", "--from", 1, "--to", 4).out.splitlines() == [
        "message 2 was added",
        "message 3 was added",
        "message 4 was added",
    ]
    ended = recount("diff", "talk-b", "--from", "4", "--to", "2096-01-01T04:30:00Z")
    assert ended.out.splitlines() == [
        "the session was renamed",
        "metadata: city changed",
        "message 2 was edited: content",
        "message 2, metadata: mood added",
        "message 4 was deleted",
    ]
    assert recount("diff", "talk-b", "--from", 12) == Ended(0, "", "")
    (answer,) = recount("diff", "talk-b", "--from", 8, "--json").items()
    assert (answer["from"], answer["to"]) == (8, 12)
    assert {"op", "path"} <= answer["patch"][0].keys()
    assert answer["words"][-1] == "message 12 was added"


@on_embedded
def test_replay_shows_a_session_turn_by_turn(recount: Recount, talk: str, conninfo: str) -> None:
    changed(conninfo, talk)
    lines = recount("replay", "talk-b", "--speed", "max").out.splitlines()
    moment = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ  "
    assert all(re.match(moment, line) for line in lines)
    assert [re.sub(moment, "", line) for line in lines] == [
        "the session began",
        "user: One chai latte, please.",
        'assistant: → get_menu({"of": "day"})',
        "tool: \N{REPLACEMENT CHARACTER}[31mred\N{REPLACEMENT CHARACTER}[0m [bold]x[/bold]",
        "message 2 was edited: Two, please.",
        'message 2 metadata: {"mood":"good"}',
        "message 4 was deleted",
        'metadata: {"city":"Porto"}',
        "renamed to talk-b",
        "the session was deleted",
        "the session was undeleted",
        "user: And a scone.",
    ]
    some = recount("replay", "talk-b", "--speed", "max", "--from", 7, "--to", 8).out.splitlines()
    assert [re.sub(moment, "", line) for line in some] == [
        "message 4 was deleted",
        'metadata: {"city":"Porto"}',
    ]
    (origin,) = recount("replay", "fork", "--speed", "max").out.splitlines()
    assert origin.endswith("Z  forked at version 4")
    (shown,) = recount("sessions", "--json", "--order", "newest", "--limit", 1).items()
    assert shown["forked_from"]["session_id"] == "talk-b"


@on_embedded
def test_replay_as_json_is_the_audit_trail(recount: Recount, talk: str) -> None:
    assert recount("replay", talk, "--json").items() == recount("audit", talk, "--json").items()


@on_embedded
def test_replay_pauses_as_long_as_it_was_or_less(
    recount: Recount, talk: str, conninfo: str, capfd: pytest.CaptureFixture[str]
) -> None:
    changed(conninfo, talk)
    pauses: list[float] = []

    def replay(speed: str, pause: Callable[[float], object]) -> str:
        capfd.readouterr()
        talk_b = ("default", "", "talk-b")
        replaying.replay_session(None, talk_b, speed=speed, first=5, last=8, as_json=False, pause=pause)
        return capfd.readouterr().out

    replay("3600x", pauses.append)
    replay("0.5", pauses.append)
    replay("0", pauses.append)
    assert pauses == [1, 1, 1, 5, 5, 5]

    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    assert replay("10x", interrupted).endswith("message 2 was edited: Two, please.\n")


# Import and export


def test_import_reports_what_it_did(recount: Recount) -> None:
    first = recount("import", SAMPLE)
    assert (first.code, first.err) == (0, "")
    assert first.out.startswith(
        "conversations: 300 read, 300 added, 0 grown, 0 already there, 0 skipped\n"
        "messages: 2,862 read, 2,862 added, 0 already there ("
    )
    (again,) = recount("import", SAMPLE, "--json").items()
    assert (again["conversations_known"], again["messages_known"]) == (300, 2862)
    assert again["messages_added"] == 0
    (rehearsed,) = recount("import", SAMPLE, "--dry-run", "--json", "--project", "other").items()
    assert rehearsed["messages_added"] == 2862
    assert recount("sessions", "--project", "other", "--json").items() == []


def test_import_tells_skipped_lines_and_ends_with_1(recount: Recount, tmp_path: Path) -> None:
    file = tmp_path / "some-bad"
    file.write_text(f'{{"id": "a", "messages": []}}\n{SECRET}\n{{"id": 7, "text": "{SECRET}"}}\n')
    ended = recount("import", file)
    assert ended.code == 1
    assert ended.err == "line 2 skipped: is not JSON\nline 3 skipped: messages: is missing\n"
    assert "3 read, 1 added, 0 grown, 0 already there, 2 skipped" in ended.out


def test_import_tells_of_many_lines_with_one_reason_the_first(recount: Recount, tmp_path: Path) -> None:
    file = tmp_path / "most-bad"
    file.write_text('{"id": "a", "messages": []}\n' + f"{SECRET}\n" * 500)
    ended = recount("import", file)
    assert ended.code == 1
    told = ended.err.splitlines()
    assert (len(told), told[-1]) == (11, "490 more skipped: is not JSON")


def test_import_tells_what_it_changed_and_which_messages_it_left_out(
    recount: Recount, tmp_path: Path
) -> None:
    file = tmp_path / "odd"
    messages = [{"role": "user", "content": "a\0b"}, {"role": "user", "content": SECRET, "refusal": None}, 7]
    file.write_text(json.dumps({"id": "a", "messages": messages}))
    ended = recount("import", file)
    assert ended.code == 1
    assert ended.err.splitlines() == [
        "line 1: message 2 skipped: has nothing that can be taken",
        "a NUL character was replaced (1×)",
    ]
    assert "messages: 3 read, 2 added, 0 already there, 1 skipped" in ended.out
    (again,) = recount("import", file, "--json").items()
    assert again["warnings"] == {"a NUL character was replaced": 1}
    assert (again["messages_known"], again["messages_skipped"]) == (2, 1)


@on_embedded
def test_import_tells_what_a_file_is_in_one_sentence(recount: Recount, tmp_path: Path) -> None:
    file = tmp_path / "export.json"
    file.write_text(json.dumps({"conversationId": "c", "messages": [{"text": SECRET}]}, indent=1))
    ended = recount("import", file)
    assert (ended.code, ended.out) == (2, "")
    assert len(ended.err.splitlines()) == 1
    assert ended.err.startswith("The file is an export of LibreChat, one JSON document")
    directory = recount("import", tmp_path)
    assert (directory.code, len(directory.err.splitlines())) == (2, 1)
    file.write_bytes(b"")
    empty = recount("import", file)
    assert (empty.code, empty.err) == (0, "there is nothing to import: it is empty\n")


@on_embedded
def test_import_from_standard_input(recount: Recount, monkeypatch: pytest.MonkeyPatch) -> None:
    zipped = io.BytesIO(gzip.compress(b'{"id": "a", "messages": []}\n{"id": "b", "messages": []}\n'))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(zipped)))
    assert recount("import", "-", "--user-id", "ana").code == 0
    assert [item["user_id"] for item in recount("sessions", "--json").items()] == ["ana", "ana"]


@on_embedded
def test_import_takes_what_comes_before_the_damage(recount: Recount, tmp_path: Path) -> None:
    file = tmp_path / "damaged.gz"
    file.write_bytes(SAMPLE.read_bytes()[:20_000])
    ended = recount("import", file)
    assert ended.code == 1
    assert ended.err == "the compressed data are damaged: nothing was read from there on\n"
    assert len(recount("sessions", "--json", "--limit", "300").items()) > 50
    file.write_bytes(gzip.compress(b'{"id": "before", "messages": []}\n') + b"damage")
    ended = recount("import", file, "--json")
    assert (ended.code, json.loads(ended.out)["conversations_added"]) == (1, 1)


@on_embedded
def test_import_shows_progress_to_somebody_who_watches(recount: Recount, conninfo: str) -> None:
    watching, terminal = pty.openpty()
    program = str(Path(sys.executable).with_name("recount"))
    with subprocess.Popen(
        [program, "import", str(SAMPLE)], stderr=terminal, stdout=subprocess.PIPE
    ) as process:
        os.close(terminal)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert out.startswith(b"conversations: 300 read, 300 added")
    assert b"messages, " in os.read(watching, 1_000_000)
    os.close(watching)


@on_embedded
@pytest.mark.parametrize("name", ["all.jsonl", "all.jsonl.gz"])
def test_export_comes_back_equal(recount: Recount, talk: str, tmp_path: Path, name: str) -> None:
    recount("import", SAMPLE)
    file = tmp_path / name
    ended = recount("export", file)
    assert (ended.out, ended.err) == ("", f"301 sessions exported to {file}\n")
    assert list(tmp_path.glob("*.part")) == []
    text = gzip.decompress(file.read_bytes()) if name.endswith(".gz") else file.read_bytes()
    assert recount("export").out.encode() == text
    (one,) = recount("export", "-", "--session", talk).items()
    assert one["metadata"] == {"city": "Lisbon"}

    (copied,) = recount("import", file, "--project", "copy", "--json").items()

    assert (copied["conversations_added"], copied["messages_added"]) == (301, 2865)
    assert recount("export", "--project", "copy").out.encode() == text


@on_embedded
def test_half_an_export_replaces_no_file(recount: Recount, talk: str, tmp_path: Path) -> None:
    file = tmp_path / "kept"
    file.write_text("before")
    assert recount("export", file, "--session", "nobody").code == 2
    assert file.read_text() == "before"
    assert [path.name for path in tmp_path.glob("kept*")] == ["kept"]


# Rebuild and verify


@pytest.mark.parametrize("command", ["rebuild", "verify"])
def test_the_views_are_checked_or_rebuilt_by_one_at_a_time(
    recount: Recount, conninfo: str, talk: str, command: str
) -> None:
    with connect(conninfo) as connection, shadow.hold_rebuild_lock(connection):
        refused = recount(command)
    assert refused.code == 3
    assert refused.err.startswith("Another rebuild or check of the views is under way")
    assert recount(command).code == 0


# Keys


def test_keys(recount: Recount) -> None:
    made = recount("keys", "create", "--project", "shop", "--scope", "read", "--label", "till 7")
    assert made.code == 0
    assert re.fullmatch(r"rk_[0-9a-f]{8}_\S+\n", made.out)
    (admin,) = recount("keys", "create", "--scope", "admin", "--scope", "read", "--json").items()
    assert admin["secret"].startswith(f"rk_{admin['id']}_")

    first, second = recount("keys", "list", "--json").items()
    assert (first["project"], first["scopes"], first["label"]) == ("shop", ["read"], "till 7")
    assert (second["scopes"], second["revoked_at"]) == (["admin", "read"], None)
    assert made.out.strip() not in recount("keys", "list").out

    assert recount("keys", "revoke", first["id"]).code == 0
    assert recount("keys", "list", "--json").items()[0]["revoked_at"] is not None


# Demo, and the parts of serve that need no server


def test_demo_leaves_nothing(program: Recount, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("RECOUNT_DATABASE_URL", "postgresql://127.0.0.1:1/not-for-a-demo")
    ended = program("demo")
    assert (ended.code, ended.err) == (0, "")
    for told in (
        "2,862 added",
        "session.message-deleted",
        "(corrected)",
        "$ recount messages dlg-",
        "--as-of",
    ):
        assert told in ended.out
    assert list(tmp_path.iterdir()) == []


def test_the_sample_is_named_as_its_licence_asks() -> None:
    notice = (SAMPLE.parent / "NOTICE.md").read_text()
    for named in (
        "Bill Byrne",
        "Saravanan Ganesh",
        "Google LLC",
        "2403.10704",
        "creativecommons.org/licenses/by/4.0",
    ):
        assert named in notice
    assert len(gzip.decompress(SAMPLE.read_bytes()).splitlines()) == 300


def test_one_server_claims_a_directory(tmp_path: Path) -> None:
    assert find_server(tmp_path) is None
    with claim_directory(tmp_path) as announce:
        starting = find_server(tmp_path)
        assert starting is not None
        assert (starting.process, starting.address) == (os.getpid(), None)
        announce("http://127.0.0.1:8000")
        with (
            pytest.raises(DirectoryIsServed, match=r"at http://127\.0\.0\.1:8000 \(process"),
            claim_directory(tmp_path),
        ):
            pass
    assert find_server(tmp_path) is None
    with claim_directory(tmp_path):
        pass


def test_listening() -> None:
    with listen("localhost", 0) as listener:
        address = server_address(listener)
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", address)
        port = listener.getsockname()[1]
        with (
            pytest.raises(NotServable, match=f"port {port} of 127.0.0.1 is in use"),
            listen("127.0.0.1", port),
        ):
            pass
    with pytest.raises(NotServable, match="no address of this machine"), listen("192.0.2.1", 0):
        pass


@pytest.mark.skipif(not socket.has_ipv6, reason="needs IPv6")
def test_listening_on_ipv6() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    with listen("[::1]", 0) as listener:
        address = server_address(listener)
        assert re.fullmatch(r"http://\[::1\]:\d+", address)
