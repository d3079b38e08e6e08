"""Pages for browsers: a page about this server, the API's documentation, and the files they need.

Everything comes from this server, so that it works without the internet. No page shows anybody's data, so
none asks for a key.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from html import escape
from importlib.metadata import version
from importlib.resources import files
from string import Template

from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Scope

from recountdb import api
from recountdb.api.http.context import Store
from recountdb.api.http.prefix import prefix_of
from recountdb.api.http.routes.system import ready
from recountdb.api.schemas.responses import Json
from recountdb.api.settings import Settings
from recountdb.domain.errors import RecountError

PAGES = files(api) / "pages"
ASSETS = files("fastapi_offline") / "static"
MEDIA_TYPES = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "redoc.standalone.js": "text/javascript",
}
PROTOCOL_NAMES = {
    "zep": "Zep",
    "langmem": "LangMem",
    "motorhead": "Motorhead",
    "langflow": "Langflow",
    "langflux": "LangFlux (Flowise)",
}
INLINE_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)

CLOSED = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; img-src 'self' data:"
)
"""A content security policy under which nothing is loaded from elsewhere, and nothing runs."""

STYLED_BY_SCRIPTS = "style-src 'self' 'unsafe-inline'; font-src 'self' data:"


def routes(settings: Settings) -> Sequence[BaseRoute]:
    """Return the routes of all pages."""

    async def openapi(request: Request) -> Response:
        """Return the OpenAPI document; its server is this one, as the caller reaches it."""
        servers = [{"url": prefix_of(request, settings.root_path) or "/"}]
        return Json(request.app.openapi() | {"servers": servers}, headers={"Vary": "X-Forwarded-Prefix"})

    return [
        _ForBrowsers("/", home),
        Route("/docs", _docs),
        Route("/docs/{name}", _asset),
        Route("/redoc", _redoc),
        Route("/openapi.json", openapi),
        Route("/favicon.ico", _icon),
    ]


class _ForBrowsers(Route):
    """A route for browsers only; programs get the routes after it."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] == "http" and scope["path"] == self.path and not _prefers_html(scope):
            return Match.NONE, {}
        return super().matches(scope)


def _prefers_html(scope: Scope) -> bool:
    """Return whether the Accept header names HTML and prefers nothing else. Programs do not name it."""
    accepted = b",".join(value for name, value in scope["headers"] if name == b"accept").decode("latin-1")
    qualities = dict(map(_read_range, accepted.lower().split(",")))
    html = qualities.get("text/html", 0.0)
    wild = max(qualities.get(media_type, 0.0) for media_type in ("application/*", "*/*"))
    return html > qualities.get("application/json", 0.0) and html >= wild


def _read_range(text: str) -> tuple[str, float]:
    """Return a media type of an Accept header and its quality, ``text/html;q=0.9``."""
    media_type, *parameters = (part.strip() for part in text.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return media_type, float(value)
            except ValueError:
                return media_type, 0.0
    return media_type, 1.0


async def home(request: Request) -> Response:
    """Return the page about this server."""
    store: Store = request.app.state.store
    prefix = prefix_of(request, store.settings.root_path)
    problem = await _reason_not_ready(store)
    values = {
        "prefix": f"{prefix}/" if prefix else "",  # without a prefix, links are relative to the page
        "version": version("recountdb"),
        "mood": "down" if problem else "up",
        "status": f"Not ready: {problem}." if problem else "Ready: the database answers.",
        "keys": await _about_keys(store),
        "protocols": _about_protocols(store.settings.protocols),
    }
    escaped = {name: escape(value) for name, value in values.items()}
    style = read("home.css")
    text = Template(read("home.html")).substitute(escaped, style=style)
    return page(text, f"style-src {_hash_of(style)}", Vary="Accept, X-Forwarded-Prefix")


async def _reason_not_ready(store: Store) -> str | None:
    """Return why the server cannot work just now, or None."""
    try:
        await ready(store)
    except RecountError as error:
        return str(error)
    return None


async def _about_keys(store: Store) -> str:
    try:
        has_keys = await store.call(store.keys.has_keys)
    except RecountError:
        return "Once there are API keys, each request needs one. To make one:"
    if has_keys:
        return "Each request needs an API key. Whoever runs this server makes one:"
    return "No API key was ever made, so this server answers programs on its own machine only. To make one:"


def _about_protocols(names: Sequence[str]) -> str:
    others = ", ".join(PROTOCOL_NAMES[name] for name in names)
    return "The native API under /v1" + (f", and what programs for {others} send." if others else ".")


async def _docs(request: Request) -> Response:
    """Return the documentation that can be tried out: Swagger UI."""
    made = get_swagger_ui_html(
        openapi_url="openapi.json",
        title="Recount API",
        swagger_js_url="docs/swagger-ui-bundle.js",
        swagger_css_url="docs/swagger-ui.css",
        swagger_favicon_url="favicon.ico",
    )
    text = bytes(made.body).decode()
    scripts = " ".join(map(_hash_of, INLINE_SCRIPT.findall(text)))
    return page(text, f"script-src 'self' {scripts}; {STYLED_BY_SCRIPTS}; connect-src 'self'")


async def _redoc(request: Request) -> Response:
    """Return the documentation on one page: Redoc."""
    made = get_redoc_html(
        openapi_url="openapi.json",
        title="Recount API",
        redoc_js_url="docs/redoc.standalone.js",
        redoc_favicon_url="favicon.ico",
        with_google_fonts=False,
    )
    policy = f"script-src 'self'; {STYLED_BY_SCRIPTS}; connect-src 'self'; worker-src blob:"
    return page(bytes(made.body).decode(), policy)


async def _asset(request: Request) -> Response:
    """Return a file of Swagger UI or Redoc, as the package fastapi-offline carries it."""
    media_type = MEDIA_TYPES.get(request.path_params["name"])
    if media_type is None:
        raise HTTPException(404)
    path = str(ASSETS / request.path_params["name"])
    return FileResponse(path, media_type=media_type, headers={"Cache-Control": "public, max-age=86400"})


async def _icon(request: Request) -> Response:
    return Response(read("icon.svg"), media_type="image/svg+xml")


def read(name: str) -> str:
    return (PAGES / name).read_text(encoding="utf-8")


def _hash_of(inline: str) -> str:
    """Return the hash by which a content security policy allows a script or style with this text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()}'"


def page(text: str, policy: str, **headers: str) -> Response:
    return HTMLResponse(
        text,
        headers={
            "Content-Security-Policy": f"{CLOSED}; {policy}",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            **headers,
        },
    )
