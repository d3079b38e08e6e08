"""A server on a port of this machine, in a thread of this process, and streams of its events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import uvicorn

from recountdb.api.settings import Settings
from tests.support.background_server import start_server

WAIT_SECONDS = 30.0  # how long a stream may be silent before the test fails


@dataclass(frozen=True)
class Record:
    """One record of server-sent events, or a comment."""

    id: int | str | None
    event: str | None
    data: Any
    comment: str | None = None


def record_from(lines: list[str]) -> Record:
    fields = dict(line.split(": ", 1) for line in lines if not line.startswith(":"))
    comments = [line[2:] for line in lines if line.startswith(":")]
    return Record(
        place_in(fields["id"]) if "id" in fields else None,
        fields.get("event"),
        json.loads(fields["data"]) if "data" in fields else None,
        comments[0] if comments else None,
    )


def place_in(id: str) -> int | str:
    """A position of the first epoch of the log, a version, or a position with its epoch."""
    return int(id) if id.isdecimal() else id


class Stream:
    """An open stream, read record by record."""

    def __init__(self, answer: httpx2.Response) -> None:
        self.answer = answer
        self._lines = answer.iter_lines()

    def __iter__(self) -> Iterator[Record]:
        lines: list[str] = []
        for line in self._lines:
            if line:
                lines.append(line)
            else:
                yield record_from(lines)
                lines = []

    def take(self, count: int) -> list[Record]:
        """The next ``count`` events, comments passed over."""
        found: list[Record] = []
        for record in self:
            if record.event is not None:
                found.append(record)
            if len(found) == count:
                break
        return found


@dataclass(frozen=True)
class Service:
    """A server under test, and a client of it."""

    client: httpx2.Client
    server: uvicorn.Server

    @contextmanager
    def follow(self, headers: dict[str, str] | None = None, **query: Any) -> Iterator[Stream]:
        """An open stream, from now on unless ``query`` or ``headers`` say otherwise."""
        with self.client.stream("GET", "/v1/events/stream", params=query, headers=headers) as answer:
            assert answer.status_code == 200, answer.read()
            stream = Stream(answer)
            assert next(iter(stream)).comment == "following"
            yield stream

    def say(self, path: str, *contents: str, headers: dict[str, str] | None = None) -> None:
        body = {"messages": [{"role": "user", "content": content} for content in contents]}
        answer = self.client.post(f"{path}/messages", json=body, headers=headers)
        assert answer.status_code == 201, answer.text

    def log(self, headers: dict[str, str] | None = None, **query: Any) -> list[Any]:
        items: list[Any] = self.client.get(
            "/v1/events", params={"limit": 1000, **query}, headers=headers
        ).json()["items"]
        return items


@contextmanager
def serve_on_port(conninfo: str) -> Iterator[Service]:
    """Run a server without keys on a free port, in a thread; yield it with a client."""
    with (
        start_server(conninfo, Settings()) as (server, address),
        httpx2.Client(base_url=address, timeout=WAIT_SECONDS) as client,
    ):
        yield Service(client, server)


def as_in_log(record: Record) -> Any:
    """Return the record as /v1/events has it."""
    assert record.id == record.data["position"]
    assert record.event == record.data["type"]
    return record.data
