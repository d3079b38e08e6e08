"""Input that must be refused, and what a refusal looks like."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from httpx2 import Response

from tests.support.routes import resolved

SECRET = "sherry in the cellar"
"""Stands for what people say: never shown in a refusal, never in a log."""


def nested(levels: int, opening: str, closing: str) -> str:
    return opening * levels + f'"{SECRET}"' + closing * levels


DOCUMENTS = {
    "NaN": "NaN",
    "Infinity": "Infinity",
    "-Infinity": "-Infinity",
    "too large a number": "1e400",
    "too small a number": "-1e400",
    "5,000 digits": "9" * 5000,
    "minus 5,000 digits": "-" + "9" * 5000,
    "NUL": json.dumps(f"{SECRET}\0"),
    "NUL in a member": json.dumps({"member\0": SECRET}),
    "lone surrogate": '"\\ud800"',
    "lone surrogate in UTF-8": '"\ud800"',
    "lone low surrogate": f'"{SECRET}\\udfff"',
    "surrogates the wrong way round": '"\\ude00\\ud83d"',
    "lone surrogate in a member": '{"\\ud800": 1}',
    **{f"{levels} arrays": nested(levels, "[", "]") for levels in (102, 500, 1_000, 100_000)},
    **{f"{levels} objects": nested(levels, '{"a":', "}") for levels in (102, 500, 1_000, 100_000)},
}
"""JSON texts, or nearly, that cannot be taken anywhere in a body."""

SAMPLES: dict[str, list[Any]] = {
    "string": [SECRET],
    "integer": [7, 10**40],
    "number": [1.5],
    "boolean": [True],
    "array": [[], [SECRET]],
    "object": [{}, {"a": SECRET}],
}


def wrong_values(schema: dict[str, Any], path: tuple[str | int, ...] = ()) -> Iterator[tuple[Any, Any]]:
    """For each member of a body of ``schema``: its path, and values of types that it does not take."""
    choices = [resolved(choice) for choice in schema.get("anyOf", [schema])]
    if any("type" not in choice for choice in choices):
        return  # any document
    taken = {choice["type"] for choice in choices}
    if "number" in taken:
        taken.add("integer")
    for kind, samples in SAMPLES.items():
        has_format = kind == "string" and all("format" in c for c in choices if c["type"] == "string")
        if kind not in taken or has_format:
            yield from ((path, sample) for sample in samples)
    for choice in choices:
        for name, member in choice.get("properties", {}).items():
            yield from wrong_values(resolved(member), (*path, name))
        if "items" in choice:
            yield from wrong_values(resolved(choice["items"]), (*path, 0))


def places(document: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The path of each member and element of ``document``, at any depth."""
    if path:
        yield path
    children: Any = enumerate(document) if isinstance(document, list) else ()
    children = document.items() if isinstance(document, dict) else children
    for key, child in children:
        yield from places(child, (*path, key))


def put(document: Any, path: tuple[str | int, ...], value: Any) -> Any:
    """A copy of ``document`` with ``value`` at ``path``."""
    if not path:
        return value
    first, *rest = path
    copy = document.copy()
    copy[first] = put(document[first], tuple(rest), value)
    return copy


def text_with(document: Any, path: tuple[str | int, ...], fragment: str) -> bytes:
    """``document`` as JSON, with the text ``fragment`` as it is at ``path``."""
    return (
        json.dumps(put(document, path, "<here>")).replace('"<here>"', fragment).encode(errors="surrogatepass")
    )


def assert_refused(answer: Response, *statuses: int, field: str | None = None) -> dict[str, Any]:
    """Fail unless it is a problem of the caller's, of one of ``statuses``, that names ``field``."""
    assert answer.status_code in (statuses or range(400, 500)), answer.text[:500]
    assert answer.headers["content-type"] == "application/problem+json"
    assert SECRET not in answer.text, "it shows what was said"
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == answer.status_code
    assert problem["type"].startswith("urn:recount:problem:")
    assert problem["title"]
    assert problem["detail"]
    if field is not None:
        named = [error["field"] for error in problem["errors"]]
        assert any(is_about(name, field) for name in named), (named, field)
    return problem


def is_about(name: str, field: str) -> bool:
    """Whether ``name`` is ``field``, or something it is in or that is in it."""
    return f"{name}.".startswith(f"{field}.") or f"{field}.".startswith(f"{name}.")
