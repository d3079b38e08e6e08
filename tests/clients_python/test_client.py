"""The connection to a server: its settings, and what a caller learns when the server is away or refuses."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from recount_client import Client, InvalidInput, Refused, Unauthorized, Unavailable
from recount_client.langflow import StoredMessage, message_store
from recountdb.api.services.keys import create_key
from recountdb.api.settings import Settings
from recountdb.eventlog.postgres.database import Database
from tests.support.background_server import run_server
from tests.support.responding import Answer, Answering

OF: Any = {"flow_id": "f", "user_id": "ana"}
SAID = {"text": "Soup?", "sender": "User", "sender_name": "Ana", "session_id": "lunch"}


@pytest.fixture
def unused_port() -> Iterator[int]:
    """A port that is bound and takes no connection."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@contextmanager
def silent_server() -> Iterator[str]:
    """Something that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def test_the_environment_names_server_and_key(
    shared_address: str, conninfo: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECOUNT_URL", shared_address)
    with Client() as client:
        assert client.url == shared_address
        assert client.request("GET", "/v1/health")["status"] == "ok"
    _, key = create_key(database, project="default", scopes=("read", "write"))
    with run_server(conninfo, Settings()) as address:
        monkeypatch.setenv("RECOUNT_URL", address)
        with message_store(make=StoredMessage) as store, pytest.raises(Unauthorized, match="RECOUNT_API_KEY"):
            store.get_messages(**OF)
        monkeypatch.setenv("RECOUNT_API_KEY", key)
        with message_store(make=StoredMessage) as store:
            store.add_messages(SAID, **OF)
            assert [found.text for found in store.get_messages(**OF)] == ["Soup?"]


def test_a_key_that_may_only_read_is_told_so(conninfo: str, database: Database) -> None:
    _, key = create_key(database, project="default", scopes=("read",))
    with (
        run_server(conninfo, Settings()) as address,
        message_store(address, key, make=StoredMessage) as store,
    ):
        assert store.get_messages(**OF) == []
        with pytest.raises(Unauthorized, match="write") as refused:
            store.add_messages(SAID, **OF)
        assert refused.value.status == 403


def test_a_server_that_is_away_is_told_by_its_address(unused_port: int) -> None:
    with message_store(f"http://127.0.0.1:{unused_port}", make=StoredMessage) as store:
        with pytest.raises(Unavailable, match=f"127.0.0.1:{unused_port} cannot be reached.*RECOUNT_URL"):
            store.store_message(SAID, **OF)
        with pytest.raises(Unavailable):
            store.get_messages(**OF)


def test_a_server_that_is_silent_hangs_nobody() -> None:
    with silent_server() as address, message_store(address, make=StoredMessage, timeout_seconds=0.3) as store:
        started = time.monotonic()
        with pytest.raises(Unavailable, match="did not answer in time"):
            store.get_messages(**OF)
        assert time.monotonic() - started < 5


def test_a_server_without_the_protocol_refuses(conninfo: str) -> None:
    with (
        run_server(conninfo, Settings(protocols=())) as address,
        message_store(address, make=StoredMessage) as store,
    ):
        with pytest.raises(Refused) as refused:
            store.get_messages(**OF)
        assert refused.value.status == 404


@pytest.mark.parametrize(
    ("answer", "error", "text"),
    [
        (Answer(b"<html>", 200), Refused, "is no Recount server"),
        (Answer(b"<html>", 502), Unavailable, "the server answered 502"),
        (Answer(b'{"detail": "busy"}', 503), Unavailable, "busy"),
        (Answer(b'{"detail": 7}', 409), Refused, "the server answered 409"),
        (
            Answer(b'{"detail": [{"loc": ["query", "limit"], "msg": "too small"}]}', 422),
            InvalidInput,
            "limit: too",
        ),
    ],
)
def test_answers_that_are_no_success(answer: Answer, error: type[Exception], text: str) -> None:
    with (
        Answering(lambda asked: answer).running() as answering,
        Client(answering.url) as client,
        pytest.raises(error, match=text),
    ):
        client.request("GET", "/v1/health")


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://127.0.0.1", "http://", "http://[::1"])
def test_an_address_that_is_none_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="the address of Recount"):
        Client(url)


def test_what_the_server_refuses_is_a_value_error(shared_address: str) -> None:
    with message_store(shared_address, make=StoredMessage) as store:
        for bad in ({"timestamp": "yesterday"}, {"id": "7"}, {"session_id": "a\x00b"}, {"text": "\ud800"}):
            with pytest.raises(ValueError):  # noqa: PT011 - whatever its text
                store.add_messages({**SAID, **bad}, **OF)
        with pytest.raises(ValueError, match="generator"):
            store.add_messages({**SAID, "properties": (part for part in "abc")}, **OF)
        assert store.get_messages(**OF) == []
