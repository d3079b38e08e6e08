"""What somebody may have meant by an address that is not there."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

from starlette.routing import Route

NOWHERE = "there is no such address"
PATH_LENGTH_MAX = 300
"""Longer paths than this are not compared: it takes time, and nobody mistypes those."""

LIKENESS_MIN = 0.85


def hint(path: str, routes: Iterable[Route]) -> str:
    """One sentence, with the nearest address where there is one."""
    routes = list(routes)
    if len(path) <= PATH_LENGTH_MAX:
        found = next(filter(None, (address_of(path, routes) for path in _variants(path))), None)
        found = found or _nearest(path, routes)
        if found is not None:
            return f"{NOWHERE}; did you mean {found}?"
    return f"{NOWHERE}; those there are begin with /v1/, and /docs lists them"


def _variants(path: str) -> Iterable[str]:
    """The path without slashes too many, with the version in front or without it."""
    plain = re.sub("/{2,}", "/", path).rstrip("/")
    yield plain
    yield f"/v1{plain.removeprefix('/api').removesuffix('z')}"
    yield plain.removeprefix("/v1")


def address_of(path: str, routes: Iterable[Route]) -> str | None:
    """The address of what takes such a path: no path as it was asked for, for it may hold a name."""
    return next((route.path for route in routes if route.path != "/" and route.path_regex.match(path)), None)


def _nearest(path: str, routes: Iterable[Route]) -> str | None:
    """The address of our own that is written nearly so."""
    asked = path.split("/")
    written = {
        "/".join(map(_filled, route.path.split("/"), asked)): route.path
        for route in routes
        if route.include_in_schema and route.path.count("/") == path.count("/")
    }
    found = get_close_matches(path, written, 1, LIKENESS_MIN)
    return written[found[0]] if found else None


def _filled(expected: str, asked: str) -> str:
    """A segment of an address, with what was asked for where any name may be."""
    return asked if expected.startswith("{") else expected
