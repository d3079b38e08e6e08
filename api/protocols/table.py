"""The protocols there are, by name, each with what makes its router."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter

from api.protocols import langflow, langflux, motorhead, zep
from api.settings import Settings

PROTOCOLS: dict[str, Callable[[Settings], APIRouter]] = {
    "zep": zep.router,
    "motorhead": motorhead.router,
    "langflow": langflow.router,
    "langflux": langflux.router,
}
"""Name, as in the setting ``protocols`` → its router, as these settings want it."""
