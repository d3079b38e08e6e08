"""Every native route, read from the OpenAPI document, and a valid request for each.

Tests that must hold for all routes go through these tables, so a new route is covered by being there;
one that takes a body needs a line in ``body_for``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from fastapi.routing import APIRoute
from httpx2 import Response
from pydantic import BaseModel
from starlette.testclient import TestClient

from recountdb.api.app import create_app
from recountdb.api.settings import Settings
from recountdb.domain.catalog import KINDS

APP = create_app(Settings(), "")
DOCUMENT: dict[str, Any] = APP.openapi()
RESOURCES: dict[str, type[BaseModel]] = {
    route.operation_id or route.unique_id: route.response_model
    for route in APP.routes
    if isinstance(route, APIRoute) and route.response_model
}
"""Operation id → the shape of its answers."""
METADATA: Any = {"channel": "web", "plan": {"tier": "pro"}}
WORDS = "One chai latte, please."
WEBHOOK: Any = {"url": "https://hooks.example/recount", "types": ["session.renamed"], "from": 0}


@dataclass(frozen=True)
class Route:
    method: str
    path: str
    operation: dict[str, Any] = field(repr=False, compare=False)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def id(self) -> str:
        found: str = self.operation["operationId"]
        return found

    @property
    def writes(self) -> bool:
        """Whether it records something in the log."""
        elsewhere = {"webhooks", "purges", "projections"}
        return self.method != "GET" and not elsewhere & set(self.operation["tags"])

    @property
    def scope(self) -> str:
        """What a key must be allowed to do."""
        if "projections" in self.operation["tags"]:
            return "operator"
        if {"webhooks", "audit", "purges", "holds"} & set(self.operation["tags"]):
            return "admin"
        return "write" if self.writes else "read"

    @property
    def kind(self) -> tuple[object, ...]:
        """What tells it from others where input is read: `make test` tries one route of each kind."""
        has_pages = "cursor" in self.names("query")
        return self.method, self.scope, self.takes_body, len(self.names("path")), has_pages

    @property
    def takes_body(self) -> bool:
        return "requestBody" in self.operation

    @property
    def status(self) -> int:
        """The documented status of success."""
        (success,) = (int(status) for status in self.operation["responses"] if status.startswith("2"))
        return success

    def parameters(self, place: str) -> list[dict[str, Any]]:
        """Its parameters in ``place``: path, query or header."""
        return [found for found in self.operation.get("parameters", []) if found["in"] == place]

    def names(self, place: str) -> list[str]:
        return [parameter["name"] for parameter in self.parameters(place)]

    def body_schema(self) -> dict[str, Any]:
        schema = self.operation["requestBody"]["content"]["application/json"]["schema"]
        return resolved(schema)


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """``schema``, or what it refers to."""
    if "$ref" not in schema:
        return schema
    found: dict[str, Any] = DOCUMENT["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    return found


def routes() -> Iterator[Route]:
    """Those of the native API."""
    for path, operations in DOCUMENT["paths"].items():
        if not path.startswith("/v1/"):
            continue
        for method, operation in operations.items():
            yield Route(method.upper(), path, operation)


ROUTES = [route for route in routes() if "system" not in route.operation["tags"]]
"""Those that need a caller."""

ENDLESS = "stream_events"
ANSWERING = [route for route in ROUTES if route.id != ENDLESS]
"""Those whose answer ends."""


QUERIES: dict[str, dict[str, Any]] = {
    "diff_session": {"from": 1},
    "diff_thread": {"from": 1},
    "replay_session": {"speed": "max"},
}
"""What routes need, or are better called with, in the query string."""


@dataclass(frozen=True)
class Place:
    """Names of a session, thread and user of a test's own, and of the messages in them."""

    session_id: str = field(default_factory=lambda: f"trip-{uuid4()}")
    thread_id: str = field(default_factory=lambda: str(uuid4()))
    user_id: str = field(default_factory=lambda: f"ana-{uuid4()}")
    session_message: str = field(default_factory=lambda: str(uuid4()))
    thread_message: str = field(default_factory=lambda: str(uuid4()))
    webhooks: list[str] = field(default_factory=lambda: [f"wh_{uuid4().hex[:16]}"])
    """The last one is there once the place is furnished, by a key that may do so."""

    def furnish(
        self, client: TestClient, *, words: str = WORDS, headers: dict[str, str] | None = None
    ) -> None:
        """Make them all, with ``words`` in each."""
        metadata = {"said": words}
        sent: list[tuple[str, dict[str, Any]]] = [
            ("/v1/users", {"user_id": self.user_id, "display_name": words, "metadata": metadata}),
            ("/v1/sessions", {"session_id": self.session_id, "user_id": self.user_id, "metadata": metadata}),
            ("/v1/threads", {"thread_id": self.thread_id, "metadata": metadata}),
        ]
        for path, message_id in (
            (f"/v1/sessions/{self.session_id}", self.session_message),
            (f"/v1/threads/{self.thread_id}", self.thread_message),
        ):
            message = {"id": message_id, "role": "user", "content": words, "user_id": self.user_id}
            sent.append((f"{path}/messages", {"messages": [message]}))
        for path, body in sent:
            assert client.post(path, json=body, headers=headers).status_code == 201
        state = client.put(f"/v1/threads/{self.thread_id}/state", json={"state": metadata}, headers=headers)
        assert state.status_code == 200
        webhook = client.post("/v1/webhooks", json=WEBHOOK, headers=headers)
        assert webhook.status_code in (201, 401, 403), webhook.text
        if webhook.status_code == 201:
            self.webhooks.append(webhook.json()["id"])

    def values(self, route: Route) -> dict[str, str]:
        """What goes into the path of ``route``."""
        in_thread = "thread" in route.path
        message = self.thread_message if in_thread else self.session_message
        return {
            "session_id": self.session_id,
            "thread_id": self.thread_id,
            "user_id": self.user_id,
            "message_id": message,
            "webhook_id": self.webhooks[-1],
        }

    def url(self, route: Route, **others: str) -> str:
        """The address of ``route``; ``others`` go into the path as they are, percent signs and all."""
        values = {name: quote(value, safe="") for name, value in self.values(route).items()}
        return route.path.format(**(values | others))


def body_for(route: Route, place: Place) -> dict[str, Any]:
    """A body with every member there is, which ``route`` takes."""
    message = {
        "role": "user",
        "content": WORDS,
        "name": "Ana",
        "user_id": place.user_id,
        "tool_calls": [{"function": "brew"}],
        "tool_call_id": "call-1",
        "token_count": 5,
        "metadata": METADATA,
    }
    new_message = {**message, "id": str(uuid4()), "timestamp": "2026-11-20T19:50:25.368956Z"}
    profile = {
        "display_name": "Ana",
        "email": "ana@example.org",
        "first_name": "Ana",
        "last_name": "Lima",
        "tags": ["coffee"],
        "metadata": METADATA,
    }
    bodies: dict[str, dict[str, Any]] = {
        "start_session": {"session_id": f"new-{uuid4()}", "user_id": place.user_id, "metadata": METADATA},
        "merge_session_metadata": {"metadata": METADATA},
        "rename_session": {"session_id": f"new-{uuid4()}"},
        "fork_session": {
            "session_id": f"new-{uuid4()}",
            "version": 2,
            "message_id": place.session_message,
            "metadata": METADATA,
        },
        "add_session_messages": {"messages": [new_message], "user_id": place.user_id},
        "change_session_message": message,
        "start_thread": {"thread_id": str(uuid4()), "metadata": METADATA},
        "merge_thread_metadata": {"metadata": METADATA},
        "set_thread_state": {"state": {"step": 3}},
        "add_thread_messages": {"messages": [new_message]},
        "change_thread_message": message,
        "create_user": {"user_id": f"new-{uuid4()}", **profile},
        "change_user": profile,
        "create_webhook": WEBHOOK,
        "purge_deleted": {"older_than_days": 36500, "reason": "asked for", "dry_run": False},
        **{f"purge_{kind}": {"reason": "asked for", "dry_run": False} for kind in KINDS},
        **{f"hold_{kind}": {"reason": "case 7"} for kind in KINDS},
        "start_rebuild": {"views": ["users"], "dry_run": True},
    }
    assert route.id in bodies, f"{route} takes a body: give body_for one for it"
    return bodies[route.id]


def make_ready(client: TestClient, route: Route, place: Place, *, headers: Any = None) -> None:
    """Have something there for ``route`` to undo."""
    if route.id.startswith("undelete"):
        client.delete(place.url(route).removesuffix("/undelete"), headers=headers)
    elif route.id.startswith("release"):
        client.put(place.url(route), json={"reason": "case 7"}, headers=headers)


def call(client: TestClient, route: Route, place: Place, *, headers: Any = None, **more: Any) -> Response:
    """A valid request to ``route``, but for what ``more`` says of it."""
    if route.takes_body and not more.keys() & {"json", "content"}:
        more["json"] = body_for(route, place)
    if route.id in QUERIES:
        more.setdefault("params", QUERIES[route.id])
    if route.id == "start_rebuild":  # another test's may be under way: there is one at a time
        wait_for_rebuild(client, headers)
    return client.request(route.method, place.url(route), headers=headers, **more)


def wait_for_rebuild(client: TestClient, headers: Any = None) -> dict[str, Any]:
    """What became of the last rebuild, once it is over; what the server says where that is no answer."""
    for _ in range(600):
        answer = client.get("/v1/projections/rebuild", headers=headers)
        if answer.status_code != 200 or answer.json()["state"] != "running":
            break
        time.sleep(0.05)
    found: dict[str, Any] = answer.json()
    return found
