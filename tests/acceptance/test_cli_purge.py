"""``recount purge``, ``purges``, ``hold`` and ``release`` as they are called: what they say, how they end."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from recountdb.domain.commands.base import Command
from recountdb.domain.commands.common import Delete, Start
from recountdb.domain.commands.conversations import AddMessages, DeleteMessage
from recountdb.domain.events import Context
from recountdb.eventlog.application import Recount as Application
from recountdb.eventlog.postgres.database import connect
from recountdb.projections.rebuild import shadow
from tests.acceptance.test_cli import Ended, Recount, program, recount, talk
from tests.support.stories import THREAD, say

__all__ = ["program", "recount", "talk"]

SECRET = "rosebud"
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
HELD = "the {} is under a legal hold: release it first"


def send(application: Application, *commands: Command, project: str = "default", at: Any = None) -> None:
    for command in commands:
        application.execute(command, Context(project, "test", at or datetime.now(UTC)))


@pytest.fixture
def others(application: Application) -> None:
    """A user, and what they said in a session of theirs, in a thread, and in somebody else's session."""
    send(
        application,
        Start(kind="user", name="bob"),
        AddMessages(kind="session", name="bobs", user_id="bob", messages=say(SECRET)),
        AddMessages(kind="thread", name=THREAD, messages=say(SECRET, user_id="bob") + say("kept")),
    )


def sessions(recount: Recount) -> list[str]:
    return [item["session_id"] for item in recount("sessions", "--json").items()]


def stored(conninfo: str) -> str:
    with connect(conninfo) as connection:
        ((text,),) = connection.execute("SELECT string_agg(state::text, '') FROM stored_events").fetchall()
    return str(text)


def test_a_session_goes_and_leaves_a_receipt(recount: Recount, talk: str, conninfo: str) -> None:
    purged = recount("purge", "--session", talk, "--reason", "asked for", "--json")
    assert purged.code == 0
    (receipt,) = purged.items()
    assert (receipt["kind"], receipt["events"], receipt["messages"]) == ("session", 4, 3)
    assert (receipt["reason"], receipt["is_erased"]) == ("asked for", True)
    assert receipt["actor"].startswith("cli:")
    assert sessions(recount) == []
    assert "chai" not in stored(conninfo)
    assert recount("purges", "--json").items() == [receipt]
    assert recount("verify").code == 0


def test_as_a_table(recount: Recount, talk: str) -> None:
    purged = recount("purge", "--session", talk)
    header, row = purged.out.splitlines()
    assert header.split()[:6] == ["position", "kind", "stream", "events", "messages", "purged"]
    assert row.split()[:2] == ["5", "session"]
    assert talk not in purged.out
    assert purged.err == ""
    assert recount("purges").out == purged.out


@pytest.mark.usefixtures("others")
def test_a_thread_goes(recount: Recount) -> None:
    (receipt,) = recount("purge", "--thread", THREAD, "--json").items()
    assert (receipt["kind"], receipt["messages"]) == ("thread", 2)
    assert recount("audit", "--thread", THREAD).code == 2


@pytest.mark.usefixtures("others")
def test_a_user_goes_with_all_that_is_theirs(recount: Recount, conninfo: str) -> None:
    purged = recount("purge", "--user", "bob", "--json")
    assert purged.code == 0
    assert sorted((one["kind"], one["events"]) for one in purged.items() if one["events"]) == [
        ("session", 2),
        ("user", 1),
    ]
    assert [one["kind"] for one in purged.items() if one["events"] is None] == ["thread"]
    assert SECRET not in stored(conninfo)
    assert sessions(recount) == []


@pytest.mark.usefixtures("others")
def test_a_rehearsal_purges_nothing(recount: Recount, talk: str, conninfo: str) -> None:
    before = stored(conninfo)
    rehearsed = recount("purge", "--user", "bob", "--dry-run")
    assert rehearsed.code == 0
    assert sorted(row.split() for row in rehearsed.out.splitlines()[1:]) == [
        ["session", "bobs", "whole", "1"],
        ["thread", THREAD, "some", "1"],
        ["user", "bob", "whole", "0"],
    ]
    assert rehearsed.err == "This was a dry run: 3 would be purged, nothing was.\n"
    as_json = recount("purge", "--user", "bob", "--dry-run", "--json").items()
    assert sorted(item["name"] for item in as_json) == sorted(["bobs", THREAD, "bob"])
    assert stored(conninfo) == before
    assert recount("purges", "--json").items() == []


def deleted(recount: Recount, older_than: str) -> Ended:
    return recount("purge", "--older-than", older_than, "--json")


def test_what_was_deleted_long_ago_goes(recount: Recount, application: Application, talk: str) -> None:
    said = say("kept", SECRET)
    send(
        application,
        AddMessages(kind="session", name="old", messages=say(SECRET)),
        Delete(kind="session", name="old"),
        AddMessages(kind="session", name="single", messages=said),
        DeleteMessage(kind="session", name="single", message_id=said[1].id),
        at=LONG_AGO,
    )
    send(
        application,
        AddMessages(kind="session", name="new", messages=say("x")),
        Delete(kind="session", name="new"),
    )
    for age in ("365d", "9000h"):
        assert deleted(recount, age).items() == []
    assert sorted(one["messages"] for one in recount("purge", "--json").items()) == [1, 1]  # 30 days
    assert deleted(recount, "1h").items() == []
    assert [one["events"] for one in deleted(recount, "0m").items()] == [3]
    assert sessions(recount) == [talk, "single"]


def test_another_project_is_left_alone(recount: Recount, application: Application) -> None:
    for project in ("one", "two"):
        commands = [Start(kind="session", name="trip"), Delete(kind="session", name="trip")]
        send(application, *commands, project=project)
    assert len(recount("purge", "--older-than", "0m", "--project", "one", "--json").items()) == 1
    assert recount("purges", "--project", "two", "--json").items() == []
    assert len(recount("purges", "--project", "one", "--json").items()) == 1
    assert recount("purge", "--session", "trip", "--project", "two", "--json").code == 0


def test_the_setting_says_how_long_what_was_deleted_stays(
    recount: Recount, application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(application, Start(kind="session", name="trip"), Delete(kind="session", name="trip"))
    monkeypatch.setenv("RECOUNT_RETENTION_DAYS", "forever")
    refused = recount("purge")
    assert (refused.code, refused.out) == (2, "")
    assert refused.err == "--older-than: must be given, for RECOUNT_RETENTION_DAYS keeps things forever.\n"
    monkeypatch.setenv("RECOUNT_RETENTION_DAYS", "0")
    assert len(recount("purge", "--json").items()) == 1


class TestHolds:
    def test_it_keeps_a_session_until_it_is_released(self, recount: Recount, talk: str) -> None:
        held = recount("hold", "--session", talk, "--reason", "case 7")
        assert (held.code, held.out) == (0, "")
        assert held.err == "The session is not purged until 'recount release'.\n"
        refused = recount("purge", "--session", talk)
        assert refused.code == 1
        assert refused.err == f"session {talk} stays: {HELD.format('session')}\n"
        told = recount("purge", "--session", talk, "--json")
        assert (told.code, [item["why_not"] for item in told.items()]) == (1, [HELD.format("session")])
        assert sessions(recount) == [talk]
        assert recount("release", "--session", talk).err == "The session may be purged again.\n"
        assert recount("purge", "--session", talk).code == 0
        assert sessions(recount) == []

    @pytest.mark.usefixtures("others")
    def test_of_a_user_it_keeps_all_that_is_theirs(self, recount: Recount) -> None:
        assert recount("hold", "--user", "bob", "--reason", "case 7").code == 0
        for options in (["--dry-run"], []):
            kept = recount("purge", "--user", "bob", *options)
            assert kept.code == 1
            assert kept.err.count(HELD.format("user")) == 3
        assert sessions(recount) == ["bobs"]
        assert recount("release", "--user", "bob").code == 0
        assert recount("purge", "--user", "bob").code == 0

    @pytest.mark.usefixtures("others")
    def test_a_thread_can_be_held(self, recount: Recount) -> None:
        assert recount("hold", "--thread", THREAD, "--reason", "case 7").code == 0
        assert recount("purge", "--thread", THREAD).code == 1
        assert recount("release", "--thread", THREAD).code == 0
        assert recount("purge", "--thread", THREAD).code == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["purge", "--session", "nobody"], "There is no such session."),
        (["purge", "--thread", THREAD], "There is no such thread."),
        (["purge", "--user", "nobody"], "There is no such user."),
        (["purge", "--user", "nobody", "--dry-run"], "There is no such user."),
        (["purge", "--session", "a", "--user", "b"], "Purge: name one session, thread or user, or an age."),
        (
            ["purge", "--session", "a", "--older-than", "1d"],
            "Purge: name one session, thread or user, or an age.",
        ),
        (["purge", "--older-than", "soon"], "--older-than: must be an age like 30d, 12h or 5m."),
        (["purge", "--older-than", "-1d"], "--older-than: must be an age like 30d, 12h or 5m."),
        (["hold", "--session", "nobody", "--reason", "x"], "There is no such session."),
        (["hold", "--reason", "x"], "Hold: name one session, thread or user."),
        (
            ["hold", "--session", "a", "--user", "b", "--reason", "x"],
            "Hold: name one session, thread or user.",
        ),
        (["release", "--user", "nobody"], "There is no such user."),
        (["release"], "Release: name one session, thread or user."),
    ],
)
def test_a_refusal_is_one_sentence(recount: Recount, arguments: list[str], sentence: str) -> None:
    ended = recount(*arguments)
    assert (ended.code, ended.out, ended.err) == (2, "", f"{sentence}\n")


def test_a_hold_needs_a_reason(recount: Recount, talk: str) -> None:
    assert recount("hold", "--session", talk).code == 2


def test_receipts_say_where_there_are_more(recount: Recount, application: Application) -> None:
    for number in range(51):
        name = f"trip {number}"
        send(application, Start(kind="session", name=name), Delete(kind="session", name=name))
    assert len(recount("purge", "--older-than", "0m", "--json").items()) == 51
    some = recount("purges", "--json")
    assert (len(some.items()), some.err) == (50, "There are more: see --limit.\n")
    everything = recount("purges", "--json", "--limit", "1000")
    assert (len(everything.items()), everything.err) == (51, "")
    newest = recount("purges", "--json", "--limit", "2", "--order", "newest").items()
    assert newest == everything.items()[:-3:-1]


def test_while_views_are_checked_the_erasing_is_left_to_the_next(
    recount: Recount, talk: str, conninfo: str
) -> None:
    with connect(conninfo) as connection, shadow.hold_rebuild_lock(connection):
        purged = recount("purge", "--session", talk)
    assert purged.code == 0
    assert "Some data is not erased yet" in purged.err
    assert "chai" in stored(conninfo)
    assert recount("purge", "--older-than", "1d").code == 0
    assert "chai" not in stored(conninfo)
    assert recount("purges", "--json").items()[0]["is_erased"] is True


def test_scrubbing_leaves_nothing_on_the_pages_of_the_tables(program: Recount, tmp_path: Path) -> None:
    data, file = tmp_path / "data", tmp_path / "talk.jsonl"
    words = f"canary {SECRET} {'x' * 40}"
    file.write_text(json.dumps({"id": "talk", "messages": [{"role": "user", "content": words}]}))
    assert program("import", file, "--data", data).code == 0
    assert program("purge", "--session", "talk", "--scrub", "--data", data).code == 0
    pages = [path for path in (data / "postgres" / "base").rglob("*") if path.is_file()]
    assert len(pages) > 100
    assert [path for path in pages if words.encode() in path.read_bytes()] == []
    assert program("verify", "--data", data).code == 0


def test_a_session_that_a_flow_filed(recount: Recount, application: Application, talk: str) -> None:
    """There may be many of one name: each command is about that of the scope it is given, or of none."""
    said = say("by the flow", SECRET)
    send(application, AddMessages(kind="session", name=talk, scope="flow", messages=said))
    named = (talk, "--scope", "flow")
    shown = recount("messages", *named, "--json").items()
    assert [message["content"] for message in shown] == ["by the flow", SECRET]
    assert recount("messages", *named, "--as-of", "2", "--json").items() == shown[:1]
    for audit in (recount("audit", *named, "--json"), recount("audit", *named, "--actor", "test", "--json")):
        assert [event["type"] for event in audit.items()] == [
            "session.started",
            *["session.message-added"] * 2,
        ]
    assert recount("diff", *named, "--from", "2").out == "message 3 was added\n"
    assert SECRET in recount("replay", *named, "--speed", "max").out
    marked = ("--session", *named)
    assert recount("hold", *marked, "--reason", "case 7").code == 0
    assert recount("purge", *marked).err == f"session {talk} stays: {HELD.format('session')}\n"
    assert recount("release", *marked).code == 0
    assert len(recount("purge", *marked, "--json").items()) == 1
    assert sessions(recount) == [talk]
    assert recount("messages", *named).err == "There is no such session.\n"
    assert len(recount("messages", talk, "--json").items()) == 3
