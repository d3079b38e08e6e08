"""Cross-origin requests (CORS): which web pages may call the API."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi.applications import FastAPI
from starlette.middleware.cors import CORSMiddleware

EXPOSED_HEADERS = ("ETag", "Location", "Recount-Position", "Retry-After", "WWW-Authenticate", "X-Request-Id")
"""Our headers that a page may read. By default a browser shows pages only a few standard ones."""

DAY_SECONDS = 86_400


def allow_origins(app: FastAPI, origins: Sequence[str]) -> None:
    """Let pages of these origins call every route, with any header.

    Credentials in the sense of browsers (cookies and stored passwords) are not allowed: a page sends its
    API key in a header, so that no page can use the key of another.
    """
    app.add_middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=["*"],
        allow_headers=["*"],
        allow_private_network=not _is_every_origin(origins),
        expose_headers=EXPOSED_HEADERS,
        max_age=DAY_SECONDS,
    )


def _is_every_origin(origins: Sequence[str]) -> bool:
    return "*" in origins
