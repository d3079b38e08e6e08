"""Hints at the address that somebody may have meant by one that does not exist."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

from starlette.routing import Route

NOWHERE = "there is no such address"
PATH_LENGTH_MAX = 300
"""The longest path that is compared: comparing takes time, and nobody mistypes longer ones."""

LIKENESS_MIN = 0.85


def hint(path: str, routes: Iterable[Route]) -> str:
    """Return a sentence about an unknown address, with the nearest existing address if there is one."""
    routes = list(routes)
    if len(path) <= PATH_LENGTH_MAX:
        found = next(filter(None, (_address_of(path, routes) for path in _variants(path))), None)
        found = found or _nearest(path, routes)
        if found is not None:
            return f"{NOWHERE}; did you mean {found}?"
    return f"{NOWHERE}; those there are begin with /v1/, and /docs lists them"


def _variants(path: str) -> Iterable[str]:
    """Yield the path without superfluous slashes, with and without the version in front."""
    plain = re.sub("/{2,}", "/", path).rstrip("/")
    yield plain
    yield f"/v1{plain.removeprefix('/api').removesuffix('z')}"
    yield plain.removeprefix("/v1")


def _address_of(path: str, routes: Iterable[Route]) -> str | None:
    """Return the pattern of the route that takes the path, for the path itself may hold a name; else None."""
    return next((route.path for route in routes if route.path != "/" and route.path_regex.match(path)), None)


def _nearest(path: str, routes: Iterable[Route]) -> str | None:
    """Return the documented address whose spelling is nearest, or None if none is near."""
    asked = path.split("/")
    written = {
        "/".join(map(_filled, route.path.split("/"), asked)): route.path
        for route in routes
        if route.include_in_schema and route.path.count("/") == path.count("/")
    }
    found = get_close_matches(path, written, 1, LIKENESS_MIN)
    return written[found[0]] if found else None


def _filled(expected: str, asked: str) -> str:
    """Return a segment of an address, or the one asked for if the address takes any name there."""
    return asked if expected.startswith("{") else expected
