"""Valid requests to every route of every foreign protocol, for tests that must hold for all of them.

Each protocol lists its own in ``tests/protocols/<name>_requests.py``:

- REQUESTS, as (method, path, what, status), where the path is the route's, and ``what`` is the query of a
  GET, DELETE or HEAD and else the body (or arguments of the test client, where it has just these);
- ``furnish``, which writes a conversation with given words and returns what goes into the paths
  (None: NAMES);
- PUBLIC, those of the requests, as (method, path), that ask for no key, if any.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import quote

from httpx2 import Response
from starlette.testclient import TestClient

from recountdb.api.protocols.registry import PROTOCOLS

REQUESTS = Path(__file__).parents[1] / "protocols"
NAMES = {"session_id": "furnished"}
ARGUMENTS = {"json", "params", "content", "data", "files", "headers", "cookies"}
QUERIED = {"GET", "HEAD", "DELETE"}

REQUESTS_OF: dict[str, ModuleType] = {
    name: importlib.import_module(f"tests.protocols.{name}_requests")
    for name in PROTOCOLS
    if (REQUESTS / f"{name}_requests.py").exists()
}


@dataclass(frozen=True)
class ProtocolRequest:
    """One of a protocol's requests."""

    protocol: str
    place: int

    @property
    def module(self) -> ModuleType:
        return REQUESTS_OF[self.protocol]

    @property
    def request(self) -> tuple[str, str, Any, int]:
        found: tuple[str, str, Any, int] = self.module.REQUESTS[self.place]
        return found

    def __str__(self) -> str:
        return f"{self.protocol} {self.request[0]} {self.request[1]} {self.place}"

    @property
    def kind(self) -> tuple[object, ...]:
        """What tells it from others of its protocol: `make test` sends one request of each kind."""
        method, path, what, _ = self.request
        return self.protocol, method, path.count("{"), what is None, self.is_public

    @property
    def is_public(self) -> bool:
        return self.request[:2] in getattr(self.module, "PUBLIC", ())

    def send(self, client: TestClient, names: Mapping[str, str], headers: Mapping[str, str]) -> Response:
        method, path, what, _ = self.request
        url = re.sub(r"\{(\w+)(:\w+)?\}", lambda found: quote(names[found[1]], safe=""), path)
        more: dict[str, Any] = {}
        if isinstance(what, dict) and what and what.keys() <= ARGUMENTS:
            more = dict(what)
        elif what is not None:
            more = {"params" if method in QUERIED else "json": what}
        more["headers"] = {**more.get("headers", {}), **headers}
        client.cookies.clear()
        return client.request(method, url, **more)


ALL_REQUESTS = [
    ProtocolRequest(name, place)
    for name, module in REQUESTS_OF.items()
    for place in range(len(module.REQUESTS))
]
