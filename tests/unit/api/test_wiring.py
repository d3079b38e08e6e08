"""The application is constructed in one place, and the command line stays light."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
ROOMS = ("domain", "eventlog", "projections", "api")
HEAVY = {"psycopg", "fastapi", "starlette", "uvicorn", "pydantic", "eventsourcing", "rich"}
COMMANDS = [
    path
    for path in sorted((ROOT / "api/cli").glob("*.py"))
    if "app = typer.Typer(" in path.read_text(encoding="utf-8")
]


def test_only_the_runtime_constructs_the_application() -> None:
    makers = [
        path.relative_to(ROOT).as_posix()
        for room in ROOMS
        for path in sorted((ROOT / room).rglob("*.py"))
        if any(is_construction(node) for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    ]
    assert makers == ["api/runtime.py"]


def is_construction(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Recount"


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.stem)
def test_a_command_imports_what_is_heavy_when_it_runs(path: Path) -> None:
    imported = [
        node.module or ""
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ImportFrom)
    ]
    ours = {name for name in imported if name.startswith("recountdb.") and ".cli" not in name}
    assert ours | {name for name in imported if name.partition(".")[0] in HEAVY} <= {"recountdb.api"}
