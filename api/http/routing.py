"""Routes that work in a safe order: first they find the caller, then they read the body, within bounds."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from recountdb.api.http.context import (
    admin_read_context,
    admin_write_context,
    caller,
    manage_context,
    operator_manage_context,
    operator_store,
    purge_context,
    read_context,
    store,
    write_context,
)
from recountdb.api.http.heads import HeadRoute
from recountdb.api.http.incoming import BoundedRequest

Handle = Callable[[Request], Coroutine[Any, Any, Response]]

BODILESS = {"GET", "HEAD"}


PERMISSIONS: dict[Callable[..., object] | None, str] = {
    read_context: "read",
    write_context: "write",
    admin_write_context: "admin",
    purge_context: "admin",
    admin_read_context: "admin",
    manage_context: "admin",
    operator_store: "operator",
    operator_manage_context: "operator",
}
"""The scope that each dependency requires, checked before the body is read, and again by the dependency."""


class BoundedRoute(HeadRoute):
    """Route whose requests read their bodies within bounds."""

    def get_route_handler(self) -> Handle:
        handle = super().get_route_handler()

        async def handle_within_bounds(request: Request) -> Response:
            sent = BoundedRequest(request.scope, request.receive)
            try:
                return await handle(sent)
            finally:
                sent.release()

        return handle_within_bounds


class NativeRoute(HeadRoute):
    """Route that identifies the caller before it reads the body, if it takes one, as JSON."""

    def get_route_handler(self) -> Handle:
        handle = super().get_route_handler()
        permission = next(_permissions_in(self.dependant), None)
        assert permission is not None or self.body_field is None, "whoever sends a body must be known"

        async def handle_safely(request: Request) -> Response:
            if request.method in BODILESS:
                return _unless_known(request, await handle(request))
            sent = _JsonRequest(request.scope, request.receive)
            try:
                if permission is not None and self.body_field is not None:
                    await caller(sent, await store(sent), permission)
                    await sent.validate(self.body_field.validate)
                return await handle(sent)
            finally:
                sent.release()

        return handle_safely


def _permissions_in(dependant: Dependant) -> Iterator[str]:
    """Yield the scopes that a caller needs, by the dependencies of the route."""
    for dependency in dependant.dependencies:
        if dependency.call in PERMISSIONS:
            yield PERMISSIONS[dependency.call]


class _JsonRequest(BoundedRequest):
    """A request of the native API. ``json`` returns the validated body."""

    async def validate(self, validate: Callable[..., tuple[Any, Any]]) -> None:
        """Read and validate the body, so that FastAPI finds it validated.

        Raises NotJson, InvalidInput, RequestValidationError, HTTPException.
        """

        def validated(document: Any) -> Any:
            value, errors = validate(document, {}, loc=("body",))
            if errors:
                raise RequestValidationError(errors)
            return value

        if await self.body():  # FastAPI itself reports a missing body
            self._refuse_what_is_no_json()
            self._json = await self.read_as(validated)

    def _refuse_what_is_no_json(self) -> None:
        """Raise HTTPException for anything but JSON. Forms are refused because any web page may send one."""
        media_type = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        kind, _, subtype = media_type.partition("/")
        if kind != "application" or not (subtype == "json" or subtype.endswith("+json")):
            said = (
                f"not as {media_type[:100]}" if media_type.isprintable() and media_type else "which it lacks"
            )
            reason = f"send the body with the header 'Content-Type: application/json', {said}"
            raise HTTPException(415, reason, {"Accept": "application/json"})


def _unless_known(request: Request, response: Response) -> Response:
    """Return the response, or 304 if the caller already has this version (RFC 9110, 13.1.2)."""
    tags, etag = request.headers.get("if-none-match"), response.headers.get("etag")
    if tags is None or etag is None or response.status_code != 200:
        return response
    known = [tag.strip().removeprefix("W/") for tag in tags.split(",")]
    if etag not in known and tags.strip() != "*":
        return response
    return Response(status_code=304, headers={"ETag": etag})
