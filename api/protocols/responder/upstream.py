"""The server that a protocol stands in for, such as a Langflow, to which requests are passed on."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

import httpx2
from pydantic import JsonValue

from recountdb.api.protocols.responder.client import open_client, refuse_failure
from recountdb.api.protocols.responder.errors import ResponderFailed
from recountdb.api.settings import Settings
from recountdb.api.transfer.cleaning import clean, loads_bytes

Route = Sequence[str]
"""The segments of a path, unencoded."""

RELAYED = (400, 404, 422)
"""Statuses by which the upstream server faults the request; with any other the server itself is at fault."""


class Relayed(NamedTuple):
    """An answer of the upstream server."""

    status: int
    body: Any


@dataclass(frozen=True)
class Upstream:
    """The server that the protocol stands in for, to which requests are passed on unchanged.

    ``headers``: sent with every request; they hold Recount's key at that server.
    """

    url: str
    headers: Mapping[str, str]
    seconds: float

    async def forward(self, route: Route, body: JsonValue, query: Mapping[str, str] | None = None) -> Relayed:
        """Post a request and return the JSON answer.

        Raises ResponderFailed unless the server succeeds or faults the request.
        """
        async with open_client(self.seconds) as client:
            return _read_relayed(await client.post(**self._request(route, body, query)))

    async def look_up(self, route: Route) -> Relayed:
        """Return the JSON document at ``route``. Raises ResponderFailed as ``forward`` does."""
        async with open_client(self.seconds) as client:
            return _read_relayed(await client.get(_build_url(self.url, route), headers=dict(self.headers)))

    async def forward_by_parts(
        self, route: Route, body: JsonValue, query: Mapping[str, str] | None = None
    ) -> AsyncIterator[bytes]:
        """Post a request and yield the event stream that answers it, as it comes.

        Raises ResponderFailed.
        """
        request = self._request(route, body, query)
        async with open_client(self.seconds) as client, client.stream("POST", **request) as response:
            refuse_failure(response)
            async for part in response.aiter_bytes():
                yield part

    def _request(self, route: Route, body: JsonValue, query: Mapping[str, str] | None) -> dict[str, Any]:
        return {
            "url": _build_url(self.url, route),
            "json": body,
            "params": dict(query or {}),
            "headers": dict(self.headers),
        }


def is_segment(name: str) -> bool:
    """Return whether ``name`` is safe as one segment of a path, whatever server or proxy reads it.

    Some servers decode a segment before they look for slashes and dots, even more than once, or cut it at a
    semicolon, and would end up at another route.
    """
    if not name or any(c in "/\\" or not c.isprintable() for c in name):
        return False
    while (decoded := unquote(name)) != name:
        name = decoded
    return not any(part.partition(";")[0] in (".", "..") for part in re.split(r"[/\\]", name))


def make_langflow_upstream(settings: Settings) -> Upstream | None:
    """Return the Langflow server in the settings; None if there is none."""
    if settings.langflow_upstream is None:
        return None
    key = settings.langflow_upstream_key
    headers = {} if key is None else {"x-api-key": key.get_secret_value()}
    return Upstream(settings.langflow_upstream, headers, settings.responder_seconds)


def make_flowise_upstream(settings: Settings) -> Upstream | None:
    """Return the Flowise server in the settings; None if there is none."""
    if settings.langflux_upstream is None:
        return None
    key = settings.langflux_upstream_key
    headers = {} if key is None else {"Authorization": f"Bearer {key.get_secret_value()}"}
    return Upstream(settings.langflux_upstream, headers, settings.responder_seconds)


def _build_url(url: str, route: Route) -> str:
    """Return the URL of a route. Raises ResponderFailed if one of its segments leads elsewhere."""
    if not all(map(is_segment, route)):
        raise ResponderFailed("there is no such address at the responder", 404)
    return "/".join([url.rstrip("/"), *(quote(name, safe="") for name in route)])


def _read_relayed(response: httpx2.Response) -> Relayed:
    """Return a response's status and JSON body.

    Raises ResponderFailed unless the server succeeded or faulted the request.
    """
    if response.status_code not in RELAYED:
        refuse_failure(response)
    try:
        return Relayed(response.status_code, clean(loads_bytes(response.content)))
    except ValueError:
        raise ResponderFailed("the responder's answer is not JSON", 502) from None
