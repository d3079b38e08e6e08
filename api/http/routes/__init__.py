"""The native API, /v1: one module per noun."""

from fastapi import APIRouter
from fastapi.routing import APIRoute

from recountdb.api.http.routing import NativeRoute


def operation_id(route: APIRoute) -> str:
    """Return the name of a route for generated clients, such as ``add_session_messages``."""
    tag = str(route.tags[0]) if route.tags else ""
    name = route.name.replace(" ", "_").strip("_")
    return name if "_" in name else f"{tag}_{name}"


def native_router(tag: str) -> APIRouter:
    """Return a router for one noun of the native API; all its paths are under ``/v1``."""
    return APIRouter(
        prefix="/v1", tags=[tag], route_class=NativeRoute, generate_unique_id_function=operation_id
    )
