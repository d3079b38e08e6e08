"""A conversation that a test talks to over HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from httpx2 import Response
from starlette.testclient import TestClient


@dataclass(frozen=True)
class Talk:
    """A session or thread in a test, spoken to over HTTP."""

    client: TestClient
    path: str

    @property
    def kind(self) -> str:
        return self.path.split("/")[2].removesuffix("s")

    @property
    def name(self) -> str:
        return self.path.split("/")[3]

    def add(self, *contents: Any, **members: Any) -> list[dict[str, Any]]:
        """Messages with these contents; the answer's."""
        messages = [{"role": "user", "content": content, **members} for content in contents]
        answer = self.post({"messages": messages})
        assert answer.status_code == 201, answer.text
        added: list[dict[str, Any]] = answer.json()["messages"]
        return added

    def post(self, body: Any, **headers: str) -> Response:
        return self.client.post(f"{self.path}/messages", json=body, headers=headers)

    def get(self, **query: Any) -> Response:
        return self.client.get(self.path, params=query)

    def page(self, **query: Any) -> Response:
        return self.client.get(f"{self.path}/messages", params=query)

    def contents(self, **query: Any) -> list[Any]:
        """What is said, the oldest first."""
        answer = self.page(order="oldest", **query)
        assert answer.status_code == 200, answer.text
        return [message["content"] for message in answer.json()["items"]]

    def message(self, message_id: str, **query: Any) -> Response:
        return self.client.get(f"{self.path}/messages/{message_id}", params=query)

    def change(self, message_id: str, body: Any, **headers: str) -> Response:
        return self.client.patch(f"{self.path}/messages/{message_id}", json=body, headers=headers)

    def remove(self, message_id: str, **headers: str) -> Response:
        return self.client.delete(f"{self.path}/messages/{message_id}", headers=headers)

    def merge(self, metadata: Any, **headers: str) -> Response:
        return self.client.patch(self.path, json={"metadata": metadata}, headers=headers)

    def delete(self, **headers: str) -> Response:
        return self.client.delete(self.path, headers=headers)

    def undelete(self) -> Response:
        return self.client.post(f"{self.path}/undelete")

    def trail(self, **query: Any) -> list[dict[str, Any]]:
        """Its audit trail, the oldest first."""
        items: list[dict[str, Any]] = self.client.get(f"{self.path}/events", params=query).json()["items"]
        return items

    def types(self) -> list[str]:
        """The types of its events, without their kind: ``started``, ``message-added`` …"""
        return [event["type"].split(".")[1] for event in self.trail()]
