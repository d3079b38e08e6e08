"""Checks of the house's own rules on words and places, for ``make lint``; prints each breach and fails.

1. A docstring does not begin with a relative or a pronoun ("What …", "Those …", "Of …").
2. A public name is defined in one module, but for those in ``SHARED_NAMES``, a list that may only shrink.
3. A public function that no other module uses is private: its name begins with an underscore.
4. No module of ours is imported for type checkers only (``if TYPE_CHECKING:``): that hides a cycle.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("domain", "eventlog", "projections", "api")
CLIENT = "clients/python/recount_client"
USERS = (*ROOMS, "tests", "bench", "docs")

RIDDLE = re.compile(
    r"(What|Whatever|Which|Who|Whoever|Whom|Whose|That|Those|These|This|It|They|One|Of|As|By|None|In|At|So)\b"
)

SHARED_NAMES = frozenset(
    {
        "HoldPlaced",
        "HoldReleased",
        "Intake",
        "MessageAdded",
        "MessageDeleted",
        "MessageEdited",
        "MessageMetadataMerged",
        "MessagesErased",
        "MetadataMerged",
        "MetadataReplaced",
        "StateSet",
        "Writer",
        "audit",
        "carry_out",
        "check",
        "differences",
        "install",
        "is_same",
        "lines_of",
        "main",
        "own_id",
        "position_in",
        "purge",
        "read",
        "reason_of",
        "refusal",
        "row_of",
        "text_of",
        "try_lock",
        "user_name",
        "writes_for",
    }
)
"""Public names that two modules define. Add none to this list."""

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def main() -> int:
    """Print every breach; return how many there are, 1 at most."""
    modules, client = _parse(ROOMS), _parse((CLIENT,))
    breaches = [
        *_riddles(modules | client),
        *_shared_names(modules),
        *_unused_functions(modules),
        *_hidden_imports(modules),
    ]
    for breach in breaches:
        print(breach)
    return 1 if breaches else 0


def _parse(rooms: tuple[str, ...]) -> dict[Path, ast.Module]:
    return {path: ast.parse(path.read_text(encoding="utf-8")) for path in _files(rooms)}


def _files(rooms: tuple[str, ...]) -> list[Path]:
    return sorted(path for room in rooms for path in (ROOT / room).rglob("*.py"))


def _riddles(modules: dict[Path, ast.Module]) -> Iterator[str]:
    for path, tree in modules.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | Definition) and RIDDLE.match(ast.get_docstring(node) or ""):
                name = getattr(node, "name", "the module")
                yield f"{_place(path, node)}: the docstring of {name} does not begin as a sentence"


def _shared_names(modules: dict[Path, ast.Module]) -> Iterator[str]:
    places: dict[str, list[str]] = defaultdict(list)
    for path, tree in modules.items():
        for node in tree.body:
            if isinstance(node, Definition) and not node.name.startswith("_") and not node.decorator_list:
                places[node.name].append(_place(path, node))
    for name, found in sorted(places.items()):
        if len(found) > 1 and name not in SHARED_NAMES:
            yield f"{found[0]}: {name} is defined in {', '.join(found[1:])} as well"
        if len(found) < 2 and name in SHARED_NAMES:
            yield f"{found[0]}: {name} is defined once; take it off SHARED_NAMES"


def _unused_functions(modules: dict[Path, ast.Module]) -> Iterator[str]:
    used = {path: _names_used(path) for path in _files(USERS)}
    for path, tree in modules.items():
        elsewhere = set().union(*(names for other, names in used.items() if other != path))
        for node in tree.body:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or node.decorator_list:
                continue
            if not node.name.startswith("_") and node.name not in elsewhere:
                yield f"{_place(path, node)}: nobody else uses {node.name}; call it _{node.name}"


def _hidden_imports(modules: dict[Path, ast.Module]) -> Iterator[str]:
    for path, tree in modules.items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.If) or "TYPE_CHECKING" not in ast.unparse(node.test):
                continue
            for part in ast.walk(node):
                if isinstance(part, ast.ImportFrom) and (part.module or "").startswith("recountdb"):
                    yield f"{_place(path, part)}: import {part.module} for the program too; cut the cycle"


def _names_used(path: Path) -> set[str]:
    """Return the names that a file imports or reads as attributes, also in strings like ``"a.b:main"``."""
    text = path.read_text(encoding="utf-8")
    names: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.Attribute):
            names.add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "." in node.value:
            names.update(re.findall(r"[.:](\w+)", node.value))
    return names


def _place(path: Path, node: ast.AST) -> str:
    return f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}"


if __name__ == "__main__":
    sys.exit(main())
