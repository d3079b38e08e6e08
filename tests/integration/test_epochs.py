"""The log's epochs: another begins where the log lies elsewhere, and positions of older ones are refused."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, BinaryIO
from uuid import UUID

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from starlette.testclient import TestClient
from typer.testing import CliRunner
from uuid_utils.compat import uuid7

from recountdb.api.app import create_app
from recountdb.api.cli.program import app
from recountdb.api.settings import Settings
from recountdb.domain.commands.conversations import AddMessages
from recountdb.domain.messages import Message
from recountdb.eventlog.application import Recount
from recountdb.eventlog.archive import check as checking
from recountdb.eventlog.archive import export_log as exporting
from recountdb.eventlog.archive import import_log as importing
from recountdb.eventlog.integrity.checkpoints import last_checkpoint, take_checkpoints
from recountdb.eventlog.integrity.verify import log_flaws
from recountdb.eventlog.log.epoch import (
    Epoch,
    Epochs,
    LogPosition,
    OlderEpoch,
    enter_epoch,
    is_same,
    load_epochs,
    note_settled,
    read_position,
)
from recountdb.eventlog.postgres.database import Database, connect
from recountdb.projections.followers.webhooks import Due
from tests.support.processes import context, recount_on

FIRST = Epoch(1, UUID(int=0xA << 124), "1/2/3/00000001", 0, 0, datetime.now(UTC))
SECOND = Epoch(2, UUID(int=0xB << 124), "1/2/3/00000002", 20, 24, datetime.now(UTC))
THIRD = Epoch(3, UUID(int=0xC << 124), "1/2/3/00000003", 30, 31, datetime.now(UTC))
THREE = Epochs([FIRST, SECOND, THIRD])


def say(application: Recount, *texts: str) -> None:
    said = [Message(id=uuid7(), role="user", content=text) for text in texts]
    application.execute(AddMessages(kind="session", name="trip", messages=said), context())


def epochs_of(conninfo: str) -> Epochs:
    with connect(conninfo) as connection:
        return load_epochs(connection)


class TestPositions:
    @pytest.mark.parametrize(
        ("text", "place"),
        [
            ("0", LogPosition(None, 0)),
            ("4711", LogPosition(None, 4711)),
            ("2-b0000000:4711", LogPosition("2-b0000000", 4711)),
            ("9223372036854775807", LogPosition(None, 2**63 - 1)),
        ],
    )
    def test_they_are_read(self, text: str, place: LogPosition) -> None:
        assert read_position(text) == place

    @pytest.mark.parametrize(
        "text",
        ["", "-1", "x", "1.5", "2-b0000000", "2-b0000000:", "0-b0000000:1", "٣", "9223372036854775808"],
    )
    def test_others_are_not(self, text: str) -> None:
        with pytest.raises(ValueError, match="is not a position"):
            read_position(text)

    def test_those_of_the_first_epoch_are_plain(self) -> None:
        assert Epochs([FIRST]).spell(7) == "7"
        assert THREE.spell(7) == "3-c0000000:7"
        assert read_position(THREE.spell(7)) == LogPosition(THIRD.name, 7)

    @pytest.mark.parametrize(
        ("position", "epoch"), [(1, FIRST), (24, FIRST), (25, SECOND), (31, SECOND), (32, THIRD)]
    )
    def test_an_event_is_of_the_epoch_that_had_begun(self, position: int, epoch: Epoch) -> None:
        assert THREE.epoch_of(position) is epoch

    @pytest.mark.parametrize(
        ("name", "position", "resume"),
        [
            (None, 7, 7),
            (FIRST.name, 500, 20),
            (SECOND.name, 25, 25),
            (SECOND.name, 500, 30),
            ("2-deadbeef", 500, 0),
        ],
    )
    def test_one_of_an_older_epoch_says_where_to_go_on(
        self, name: str | None, position: int, resume: int
    ) -> None:
        with pytest.raises(OlderEpoch) as refused:
            THREE.check(LogPosition(name, position))
        assert refused.value.resume_from == f"3-c0000000:{resume}"
        assert refused.value.epoch == THIRD.name

    def test_one_of_the_present_epoch_is_taken(self) -> None:
        assert THREE.check(LogPosition(THIRD.name, 500)) == 500
        assert Epochs([FIRST]).check(LogPosition(None, 500)) == 500
        assert Epochs([FIRST]).check(LogPosition(FIRST.name, 500)) == 500

    def test_a_cluster_that_may_not_be_asked_for_is_no_other(self) -> None:
        assert is_same("1/2/3/00000001", "1/2/3/00000001")
        assert is_same("-/2/3/00000001", "1/2/3/00000001")
        assert not is_same("-/2/3/00000001", "1/2/3/00000002")
        assert not is_same("9/2/3/00000001", "1/2/3/00000001")
        assert not is_same("1/2/3/00000001", None)


@contextmanager
def copied(conninfo: str) -> Iterator[str]:
    """Another database with all that is in this one, as after a restore."""
    source = conninfo_to_dict(conninfo)["dbname"]
    name = f"{source}_copy"
    server = make_conninfo(conninfo, dbname="postgres")
    with psycopg.connect(server, autocommit=True) as admin:
        copy = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        admin.execute(copy.format(sql.Identifier(name), sql.Identifier(str(source))))
    try:
        yield make_conninfo(conninfo, dbname=name)
    finally:
        with psycopg.connect(server, autocommit=True) as admin:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


class TestBeginning:
    def test_a_log_stays_in_its_first_epoch(self, conninfo: str) -> None:
        for text in ("one", "two"):
            with recount_on(conninfo) as application:
                say(application, text)
        (first,) = epochs_of(conninfo).all
        assert first.number == 1
        assert first.origin is not None

    def test_a_copy_of_it_begins_another(self, conninfo: str) -> None:
        with recount_on(conninfo) as application:
            say(application, "one", "two")
            take_checkpoints(application.database)
            say(application, "three")
        with copied(conninfo) as copy:
            with recount_on(copy) as application:
                say(application, "four")
            first, second = epochs_of(copy).all
            assert first == epochs_of(conninfo).current
            assert (second.number, second.shared_through, second.begins_after) == (2, 3, 4)
            assert epochs_of(copy).epoch_of(5) == second
        assert len(epochs_of(conninfo).all) == 1

    def test_two_copies_are_in_different_epochs(self, conninfo: str) -> None:
        with recount_on(conninfo) as application:
            say(application, "one")
        names = set()
        for _ in range(2):
            with copied(conninfo) as copy, connect(copy) as connection:
                names.add(enter_epoch(connection).current.name)
        assert len(names) == 2

    def test_what_is_shared_is_what_was_settled(self, conninfo: str) -> None:
        """The newest event may be there although one before it is lost: positions commit in another order."""
        with recount_on(conninfo) as application:
            say(application, *"abcde")
        with connect(conninfo) as connection:
            note_settled(connection, 4)
            note_settled(connection, 2)
        with copied(conninfo) as copy, connect(copy) as connection:
            epoch = enter_epoch(connection).current
            assert (epoch.shared_through, epoch.begins_after) == (4, 6)

    def test_many_who_write_at_once_begin_one(self, conninfo: str) -> None:
        with recount_on(conninfo) as application:
            say(application, "one")
        with copied(conninfo) as copy, recount_on(copy) as first, recount_on(copy) as second:
            for application in (first, second, first):
                say(application, "two")
            assert [epoch.number for epoch in epochs_of(copy).all] == [1, 2]

    def test_where_postgresql_shows_no_timeline_none_begins(
        self, conninfo: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("recountdb.eventlog.log.epoch.find_origin", lambda connection: None)
        with recount_on(conninfo) as application:
            say(application, "one")
        assert epochs_of(conninfo).current.origin is None

    def test_it_can_be_said_that_one_begins(self, conninfo: str, monkeypatch: pytest.MonkeyPatch) -> None:
        with recount_on(conninfo) as application:
            say(application, "one")
        monkeypatch.setenv("RECOUNT_DATABASE_URL", conninfo)
        done = CliRunner().invoke(app, ["log", "new-epoch"])
        assert done.exit_code == 0, done.stderr
        first, second = epochs_of(conninfo).all
        assert (second.origin, second.begins_after) == (first.origin, 2)
        assert second.name in done.stderr
        with recount_on(conninfo) as application:
            say(application, "two")
        assert epochs_of(conninfo).current == second


def exported(conninfo: str) -> bytes:
    lines: list[bytes] = []
    with connect(conninfo) as connection:
        exporting.export_log(connection, lines.append, lambda count: None)
    return b"".join(lines)


@contextmanager
def opened(text: bytes) -> Iterator[BinaryIO]:
    yield io.BytesIO(text)


class TestArchives:
    def test_an_import_takes_the_epochs_over_and_begins_another(self, conninfo: str, template: str) -> None:
        with recount_on(conninfo) as application:
            say(application, "one", "two")
            take_checkpoints(application.database)
            say(application, "three")
        text = exported(conninfo)
        with (
            copied(make_conninfo(conninfo, dbname=template)) as other,
            connect(other) as connection,
        ):
            archive = checking.check(lambda: opened(text), lambda count: None)
            with importing.hold_import_locks(connection):
                importing.import_log(connection, lambda: opened(text), archive, lambda count: None)
                importing.finish_import(connection)
            first, second = load_epochs(connection).all
            assert (first.id, first.number) == (epochs_of(conninfo).current.id, 1)
            assert (second.number, second.shared_through, second.begins_after) == (2, 4, 4)
            assert list(log_flaws(connection)) == []
            assert enter_epoch(connection).current.name == second.name
            with pytest.raises(OlderEpoch):
                load_epochs(connection).check(LogPosition(None, 2))


class TestDigests:
    def test_the_epoch_is_hashed_in(self, database: Database, application: Recount, conninfo: str) -> None:
        say(application, "one")
        take_checkpoints(database)
        with connect(conninfo) as connection:
            taken = last_checkpoint(connection)
            assert taken is not None
            assert taken.epoch == load_epochs(connection).current.id
            numbers = (2).to_bytes(8, "big") * 2
            assert taken.digest == sha256(bytes(32) + taken.epoch.bytes + numbers + taken.root).digest()

    def test_another_epoch_of_a_checkpoint_is_found(
        self, database: Database, application: Recount, conninfo: str
    ) -> None:
        say(application, "one")
        take_checkpoints(database)
        with connect(conninfo) as connection:
            connection.execute("UPDATE checkpoints SET epoch = gen_random_uuid()")
            assert [flaw.reason for flaw in log_flaws(connection)] != []

    def test_an_epoch_that_was_taken_away_is_found(
        self, database: Database, application: Recount, conninfo: str
    ) -> None:
        say(application, "one")
        take_checkpoints(database)
        with connect(conninfo) as connection:
            connection.execute("UPDATE epochs SET id = gen_random_uuid()")
            (flaw,) = log_flaws(connection)
        assert flaw.reason == "the epoch of the checkpoint at position 2 is another"


@pytest.fixture
def later(conninfo: str) -> Iterator[tuple[TestClient, dict[str, Any]]]:
    """A server on a restored copy, with the first page of events from before."""
    with TestClient(create_app(Settings(), conninfo), base_url="http://127.0.0.1") as client:
        body = {"messages": [{"role": "user", "content": text} for text in "abcd"]}
        assert client.post("/v1/sessions/trip/messages", json=body).status_code == 201
        page = client.get("/v1/events", params={"limit": 2}).json()
    with connect(conninfo) as connection:
        note_settled(connection, 5)
    with copied(conninfo) as copy:
        with recount_on(copy) as application:
            say(application, "e")
        settings = Settings(webhooks_allow_private=True)
        with TestClient(create_app(settings, copy), base_url="http://127.0.0.1") as client:
            yield client, page


class TestHttp:
    def test_a_cursor_of_before_is_answered_by_410_with_how_to_go_on(
        self, later: tuple[TestClient, dict[str, Any]]
    ) -> None:
        client, page = later
        refused = client.get("/v1/events", params={"cursor": page["next_cursor"]})
        problem = refused.json()
        assert (refused.status_code, problem["status"]) == (410, 410)
        assert problem["type"] == "urn:recount:problem:cursor-of-older-epoch"
        rest = client.get("/v1/events", params={"cursor": problem["cursor"]}).json()["items"]
        assert [event["position"] for event in rest] == [3, 4, 5, 6]
        assert [event["epoch"] for event in rest] == [page["items"][0]["epoch"]] * 3 + [problem["epoch"]]

    def test_newest_first_too(self, later: tuple[TestClient, dict[str, Any]], conninfo: str) -> None:
        client, page = later
        old = page["items"][0]["epoch"]
        newest = client.get("/v1/events", params={"limit": 1, "order": "newest"}).json()
        assert newest["items"][0]["position"] == 6
        rest = client.get("/v1/events", params={"order": "newest", "cursor": newest["next_cursor"]}).json()
        assert [event["position"] for event in rest["items"]] == [5, 4, 3, 2, 1]
        assert {event["epoch"] for event in rest["items"]} == {old}

    @pytest.mark.parametrize("path", ["/v1/events", "/v1/audit", "/v1/purges"])
    def test_in_every_list_by_position(self, later: tuple[TestClient, dict[str, Any]], path: str) -> None:
        client, page = later
        assert client.get(path, params={"cursor": page["next_cursor"]}).status_code == 410

    def test_webhooks_begin_at_positions_of_this_epoch(
        self, later: tuple[TestClient, dict[str, Any]]
    ) -> None:
        client, _ = later
        new = client.get("/v1/events", params={"order": "newest"}).json()["items"][0]["epoch"]
        body: dict[str, Any] = {"url": "http://127.0.0.1:9/"}
        assert client.post("/v1/webhooks", json=body | {"from": 2}).status_code == 410
        made = client.post("/v1/webhooks", json=body | {"from": f"{new}:2"})
        assert made.status_code == 201, made.text
        assert client.post("/v1/webhooks", json=body | {"from": "2-"}).status_code == 422

    def test_a_delivery_has_another_id_in_another_epoch(
        self, later: tuple[TestClient, dict[str, Any]]
    ) -> None:
        client, _ = later
        log = client.app.state.store.application.log  # type: ignore[attr-defined]
        entries = log.select_project("default", gt=4, lt=7, limit=10)
        ids = [Due("wh_1", "", "", 0, entry).id for entry in entries]
        assert ids == ["wh_1_5", f"wh_1_{entries[1].epoch}:6"]
