"""The protocols by name, each with the function that returns its routes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from starlette.routing import BaseRoute

from recountdb.api.protocols.langflow import routes as langflow
from recountdb.api.protocols.langflux import routes as langflux
from recountdb.api.protocols.langmem import routes as langmem
from recountdb.api.protocols.motorhead import routes as motorhead
from recountdb.api.protocols.zep import routes as zep
from recountdb.api.settings import Settings

PROTOCOLS: dict[str, Callable[[Settings], Sequence[BaseRoute]]] = {
    "zep": lambda _: zep.ROUTES,
    "langmem": lambda _: langmem.ROUTES,
    "motorhead": lambda settings: motorhead.place_routes(settings.motorhead_prefix),
    "langflow": lambda _: langflow.ROUTES,
    "langflux": lambda _: langflux.ROUTES,
}
"""Name, as in the setting ``protocols`` → the function that returns its routes for some settings."""
