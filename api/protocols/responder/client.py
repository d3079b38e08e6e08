"""The HTTP client that responders share; its errors are raised as ResponderFailed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2

from recountdb.api.protocols.responder.errors import ResponderFailed

CONNECT_SECONDS_MAX = 10


@asynccontextmanager
async def open_client(seconds: float) -> AsyncIterator[httpx2.AsyncClient]:
    """Yield an HTTP client whose errors are raised as ResponderFailed. ``seconds``: the read timeout."""
    timeout = httpx2.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS_MAX))
    try:
        async with httpx2.AsyncClient(timeout=timeout) as client:
            yield client
    except httpx2.TimeoutException:
        raise ResponderFailed("the responder did not answer in time", 504) from None
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise ResponderFailed(f"the responder cannot be reached ({type(error).__name__})", 502) from None


def refuse_failure(response: httpx2.Response) -> None:
    """Raise ResponderFailed unless the responder succeeded."""
    if not response.is_success:
        raise ResponderFailed(f"the responder answered {response.status_code}", 502)
