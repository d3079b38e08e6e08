"""The protocols by name, each with the function that makes its router."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter

from recountdb.api.protocols import langflow, langflux, langmem, zep
from recountdb.api.protocols.motorhead import routes as motorhead
from recountdb.api.settings import Settings

PROTOCOLS: dict[str, Callable[[Settings], APIRouter]] = {
    "zep": zep.router,
    "langmem": langmem.router,
    "motorhead": motorhead.router,
    "langflow": langflow.router,
    "langflux": langflux.router,
}
"""Name, as in the setting ``protocols`` → the function that makes its router for some settings."""
