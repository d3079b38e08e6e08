"""Clients that say numbers to a server which may die at any moment, and who knows what was acknowledged.

Each says one request after the other and repeats it until it is answered, as docs/api.md says that it
may: with message ids of its own, with an Idempotency-Key, or with both.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any
from uuid import UUID

import httpx2

from tests.support.processes import PATIENCE_SECONDS

CLIENTS = 4
SESSIONS = ("alpha", "beta")
IN_ONE_REQUEST_MAX = 3
ANSWERS_LOST = 0.2
PAUSE_SECONDS_MAX = 0.01
ANSWER_SECONDS_MAX = 15


@dataclass(frozen=True)
class Request:
    """Some numbers that one client says in one session, to be recorded together or not at all."""

    session: str
    contents: tuple[str, ...]
    ids: tuple[str | None, ...]
    key: str | None

    def body(self) -> dict[str, Any]:
        said = [{"role": "user", "content": content} for content in self.contents]
        return {
            "messages": [
                message if id is None else {**message, "id": id}
                for message, id in zip(said, self.ids, strict=True)
            ]
        }


class Gate:
    """Lets clients through while it is open. Who closes it waits until all have stopped in front of it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._is_open = True
        self._inside = 0

    def enter(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._is_open)
            self._inside += 1

    def leave(self) -> None:
        with self._changed:
            self._inside -= 1
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._is_open = False
            assert self._changed.wait_for(lambda: self._inside == 0, PATIENCE_SECONDS), "no answer came"

    def open(self) -> None:
        with self._changed:
            self._is_open = True
            self._changed.notify_all()


class Client(threading.Thread):
    """``acknowledged``: its requests that were answered. ``open_request``: the one that is not yet."""

    def __init__(self, name: str, address: Callable[[], str], gate: Gate, chance: Random) -> None:
        super().__init__(name=name, daemon=True)
        self.acknowledged: list[Request] = []
        self.open_request: Request | None = None
        self.failure: BaseException | None = None
        self._address = address
        self._gate = gate
        self._chance = chance
        self._stopped = threading.Event()
        self._count = 0

    def run(self) -> None:
        try:
            with httpx2.Client(timeout=ANSWER_SECONDS_MAX) as http:
                while not self._stopped.is_set():
                    self._send(http, self._next_request())
        except BaseException as failure:
            self.failure = failure

    def stop(self) -> None:
        self._stopped.set()

    def _next_request(self) -> Request:
        numbers = range(self._count, self._count + self._chance.randint(1, IN_ONE_REQUEST_MAX))
        self._count = numbers.stop
        has_ids, has_key = self._chance.choice([(True, False), (False, True), (True, True)])
        return Request(
            self._chance.choice(SESSIONS),
            tuple(f"{self.name} {number}" for number in numbers),
            tuple(self._new_id() if has_ids else None for _ in numbers),
            self._new_id() if has_key else None,
        )

    def _new_id(self) -> str:
        return str(UUID(int=self._chance.getrandbits(128)))

    def _send(self, http: httpx2.Client, request: Request) -> None:
        """Until it is acknowledged; now and then once more, as if its answer had been lost on the way."""
        self.open_request = request
        self._repeat_until_acknowledged(http, request)
        if self._chance.random() < ANSWERS_LOST:
            self._repeat_until_acknowledged(http, request)
        time.sleep(self._chance.uniform(0, PAUSE_SECONDS_MAX))

    def _repeat_until_acknowledged(self, http: httpx2.Client, request: Request) -> None:
        while not self._stopped.is_set():
            self._gate.enter()
            try:
                if self._is_acknowledged(http, request):
                    if request is self.open_request:
                        self.acknowledged.append(request)
                        self.open_request = None
                    return
            finally:
                self._gate.leave()
            time.sleep(0.05)

    def _is_acknowledged(self, http: httpx2.Client, request: Request) -> bool:
        url = f"{self._address()}/v1/sessions/{request.session}/messages"
        headers = {"Idempotency-Key": request.key} if request.key else {}
        try:
            answer = http.post(url, json=request.body(), headers=headers)
        except httpx2.TransportError:
            return False
        if answer.status_code == 503:
            return False
        assert answer.status_code in (200, 201), answer.text
        said = [message["content"] for message in answer.json()["messages"]]
        assert said == list(request.contents), "acknowledged was something else"
        return True


@dataclass
class Count:
    """What became of messages; ``acknowledged`` among them."""

    acknowledged: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    disordered: list[str] = field(default_factory=list)

    @staticmethod
    def of(counts: Iterable[Count]) -> Count:
        """Their sum."""
        total = Count()
        for one in counts:
            total.acknowledged += one.acknowledged
            total.lost += one.lost
            total.doubled += one.doubled
            total.disordered += one.disordered
        return total

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.doubled or self.disordered)

    def __str__(self) -> str:
        return (
            f"{self.acknowledged} messages acknowledged, {len(self.lost)} lost,"
            f" {len(self.doubled)} doubled, {len(self.disordered)} out of order or made up"
        )


def count(clients: Iterable[Client], found: dict[str, list[str]]) -> Count:
    """Compare what each client was told with what is ``found`` in each session. For clients at rest."""
    result = Count()
    for client in clients:
        for session, contents in found.items():
            own = [content for content in contents if content.split()[0] == client.name]
            told = contents_of(client.acknowledged, session)
            result.acknowledged += len(told)
            times = Counter(own)
            result.lost += [content for content in told if not times[content]]
            result.doubled += [content for content in times if times[content] > 1]
            # The open one counts whole or not at all.
            allowed = [told, told + contents_of([client.open_request], session)]
            if own not in allowed:
                result.disordered += own
    return result


def contents_of(requests: Iterable[Request | None], session: str) -> list[str]:
    return [
        content
        for request in requests
        if request is not None and request.session == session
        for content in request.contents
    ]


def found_at(address: str) -> dict[str, list[str]]:
    """All that is said in each session, the oldest first, as the API shows it."""
    with httpx2.Client(base_url=address, timeout=ANSWER_SECONDS_MAX) as http:
        return {session: list(contents_in(http, session)) for session in SESSIONS}


def contents_in(http: httpx2.Client, session: str) -> Iterator[str]:
    cursor: dict[str, str] = {}
    while True:
        query = {"order": "oldest", "limit": "1000", **cursor}
        answer = http.get(f"/v1/sessions/{session}/messages", params=query)
        if answer.status_code == 404:  # nothing was said yet
            return
        assert answer.status_code == 200, answer.text
        page = answer.json()
        for message in page["items"]:
            yield message["content"]
        if page["next_cursor"] is None:
            return
        cursor = {"cursor": page["next_cursor"]}


@contextmanager
def talking(
    address: Callable[[], str], chance: Random, *, clients: int = 4
) -> Iterator[tuple[Gate, Sequence[Client]]]:
    """Clients that talk until the block ends, when the gate must be open; they are at rest after it."""
    gate = Gate()
    talkers = [Client(f"client{n}", address, gate, Random(chance.random())) for n in range(clients)]
    for talker in talkers:
        talker.start()
    try:
        yield gate, talkers
    finally:
        for talker in talkers:
            talker.stop()
        gate.open()
        for talker in talkers:
            talker.join(PATIENCE_SECONDS)
    for talker in talkers:
        if talker.failure is not None:
            raise talker.failure
