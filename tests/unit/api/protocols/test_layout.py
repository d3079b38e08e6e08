"""The packages of the protocols have the same files, and handlers that a search by name finds."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.routing import APIRoute

from recountdb.api.protocols.registry import PROTOCOLS
from recountdb.api.settings import Settings

ROOT = Path(__file__).parents[4] / "api" / "protocols"
ALWAYS = {"__init__", "routes", "shapes", "errors", "rules"}
SOMETIMES = {"routing", "parameters", "filters", "queries", "commands", "responses", "answers", "execution"}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_package_has_the_same_files(name: str) -> None:
    files = {path.stem for path in (ROOT / name).iterdir() if path.stem != "__pycache__"}
    assert files >= ALWAYS
    assert files <= ALWAYS | SOMETIMES


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_handler_is_a_function_of_its_module(name: str) -> None:
    routes = [route for route in PROTOCOLS[name](Settings()) if isinstance(route, APIRoute)]
    assert routes
    assert [route.path for route in routes if "<locals>" in route.endpoint.__qualname__] == []
