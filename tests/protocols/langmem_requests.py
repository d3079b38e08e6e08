"""A valid request for every route of LangMem's, and a conversation written through it."""

from __future__ import annotations

from typing import Any

from starlette.testclient import TestClient

THREAD = "0b9a6c52-6f0c-4a07-9a3c-5f1f4a1f7d01"
USER = "5e2a3c1a-64a1-4b9c-8f29-3f7d4f0c2d02"
FUNCTION = "c1c4f3ab-93c0-4d0a-b1a6-7a8f5c9e1d03"
WORDS = "One chai latte, please."
MESSAGE = {"role": "user", "content": WORDS, "name": "Ana", "metadata": {"user_id": USER}}
SCHEMA = {"name": "Profile", "description": "Who they are.", "parameters": {"type": "object"}}

REQUESTS: list[tuple[str, str, Any, int]] = [
    ("POST", "/threads", {"id": None, "messages": [MESSAGE], "metadata": {"table": 7}}, 200),
    ("GET", "/threads", None, 200),
    ("POST", "/threads/{thread_id}/add_messages", {"messages": [MESSAGE]}, 200),
    ("GET", "/threads/{thread_id}", None, 200),
    ("GET", "/threads/{thread_id}/messages", {"page_size": 5, "ascending_order": "false"}, 200),
    ("POST", "/threads/{thread_id}/trigger-all", None, 200),
    ("POST", "/threads/{thread_id}/thread_state", {"state": {"step": 3}, "key": None}, 200),
    ("POST", "/threads/{thread_id}/thread_state/query", {"key": None}, 200),
    ("GET", "/threads/{thread_id}/memory", None, 200),
    ("GET", "/threads/{thread_id}/memory/{function_id}/state", None, 404),
    ("POST", "/users", {"id": None, "name": "Ana", "tags": ["coffee"], "metadata": {"plan": "pro"}}, 200),
    ("GET", "/users/{user_id}", None, 200),
    ("PATCH", "/users/{user_id}", {"tags": ["tea"]}, 200),
    ("POST", "/users/query", {"name": None, "id": None}, 200),
    ("POST", "/users/{user_id}/trigger-all", None, 200),
    ("POST", "/memory-functions", {"type": "user_state", "schema": SCHEMA}, 200),
    ("POST", "/memory-functions/query", {"target_type": ["user"]}, 200),
    ("GET", "/memory-functions/{function_id}", None, 200),
    ("PATCH", "/memory-functions/{function_id}", {"status": "disabled"}, 200),
    ("PUT", "/users/{user_id}/memory/{function_id}/state", {"state": {"name": "Ana"}}, 200),
    ("GET", "/users/{user_id}/memory/{function_id}/state", None, 200),
    ("GET", "/users/{user_id}/memory", None, 200),
    ("POST", "/users/{user_id}/memory/query", {"text": "tea", "state": [FUNCTION]}, 200),
    ("DELETE", "/users/{user_id}/memory/individual", None, 200),
    ("DELETE", "/users/{user_id}/memory/{function_id}/state", None, 200),
    ("DELETE", "/memory-functions/{function_id}", None, 200),
]
"""Method, path, body or for GET the query, and the status of the answer after ``furnish``, in this order."""


def furnish(client: TestClient, headers: dict[str, str], words: str) -> dict[str, str]:
    """A thread, a user and a function, and documents, that say ``words``."""
    message = {"role": "user", "content": words, "name": words, "metadata": {"user_id": USER, "said": words}}
    state = {"state": {"said": words}}
    sent: list[tuple[str, str, Any]] = [
        ("POST", "/threads", {"id": THREAD, "messages": [message], "metadata": {"said": words}}),
        ("POST", f"/threads/{THREAD}/thread_state", state),
        ("POST", "/users", {"id": USER, "name": words, "tags": [words], "metadata": {"said": words}}),
        ("POST", "/memory-functions", {"id": FUNCTION, "type": "user_state", "schema": {"title": words}}),
        ("PUT", f"/users/{USER}/memory/{FUNCTION}/state", state),
    ]
    for method, path, body in sent:
        answer = client.request(method, path, json=body, headers=headers)
        assert answer.status_code == 200, answer.text
    return {"thread_id": THREAD, "user_id": USER, "function_id": FUNCTION}
