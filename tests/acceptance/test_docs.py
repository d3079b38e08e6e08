"""The pages are complete and true: whatever can be looked up in the code is looked up."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest
from fastapi.routing import APIRoute

from docs.cli_reference import commands, help_of, reference
from recountdb.api.app import create_app
from recountdb.api.http import problems
from recountdb.api.http.metrics import Metrics
from recountdb.api.protocols.registry import PROTOCOLS
from recountdb.api.schemas.requests import NewMessages
from recountdb.api.settings import Settings
from recountdb.api.settings.environment import OF_CLIENTS, PREFIX, TEST_PREFIX, is_injected
from recountdb.domain.values import DEPTH_MAX, NAME_LENGTH_MAX
from recountdb.eventlog.postgres.statements import NAMED
from recountdb.eventlog.write.requests import BATCH_MAX, WAITING_MAX
from recountdb.eventlog.write.writer import ATTEMPTS_MAX
from recountdb.projections.lists.paging import LIMIT_DEFAULT, LIMIT_MAX
from tests.support.pages import (
    CODE,
    MORE,
    ROOT,
    anchors,
    blocks,
    examples,
    links,
    pages,
    prose,
    read,
    words_in_code,
)

API, OPERATIONS, GLOSSARY = "docs/api.md", "docs/operations.md", "docs/glossary.md"
RECORDS = sorted((ROOT / "docs/adr").glob("0*.md"))
ROOMS = ("domain", "eventlog", "projections", "api", "tests", "bench", "docs")


def table_rows(page: str) -> dict[str, list[str]]:
    """The rows of all tables whose first cell is in code type: that cell → the others."""
    rows = re.findall(r"^ *\| (.+) \|$", prose(page), re.MULTILINE)
    cells = [[cell.strip() for cell in row.split(" | ")] for row in rows]
    return {name: rest for first, *rest in cells for name in re.findall(r"^`([^`]+)`", first)}


def shell_blocks(page: str) -> list[str]:
    return [block.text for block in blocks(page) if block.language == "sh"]


# What must appear


def test_operations_has_every_setting_with_its_default() -> None:
    rows = table_rows(OPERATIONS)
    for name, field in Settings.model_fields.items():
        shown = rows[f"{PREFIX}{name.upper()}"][0]
        if field.default in (None, "", ()):
            assert "`" not in shown, name
        elif isinstance(field.default, tuple):
            assert shown == f"`{', '.join(field.default)}`", name
        elif field.default_factory is None:
            assert shown == f"`{str(field.default).lower()}`", name
        else:
            assert "`" not in shown, name


def test_pages_name_no_setting_that_there_is_not() -> None:
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields} | OF_CLIENTS
    for page in pages():
        named = set(re.findall(r"\bRECOUNT_[A-Z_]*[A-Z]\b", read(page)))
        others = {name for name in named if not name.startswith(TEST_PREFIX) and not is_injected(name, "")}
        assert others <= known, page


def test_api_has_every_route_and_no_other() -> None:
    document = create_app(Settings(), "").openapi()
    routes = {f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods}
    assert {row for row in table_rows(API) if re.match("[A-Z]+ /", row)} == routes


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_protocols_page_has_every_route_and_no_other(protocol: str) -> None:
    named = [word for cells in endpoint_rows(protocol) for word in CODE.findall(cells[0])]
    there = {bare(word) for word in named if re.match("[A-Z]+ /", word)}
    routes = {
        bare(f"{method} {route.path}")
        for route in PROTOCOLS[protocol](Settings())
        if isinstance(route, APIRoute)
        for method in asked_by(route)
    }
    assert there == routes


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_protocols_page_names_tests_that_there_are(protocol: str) -> None:
    files = sorted((ROOT / "tests").rglob(f"test_{protocol}*.py"))
    there = {name for file in files for name in (file.name, *definitions(file))}
    for cells in endpoint_rows(protocol):
        named = CODE.findall(cells[-1])
        assert named or cells[-1] == "–", cells[0]
        assert set(named) <= there, cells[0]


def asked_by(route: APIRoute) -> set[str]:
    """The methods of a route; none of one of all methods, which refuses what the protocol has not."""
    methods = route.methods or set()
    return set() if "OPTIONS" in methods else methods - {"HEAD"}


def endpoint_rows(protocol: str) -> list[list[str]]:
    """The rows of the table that says what works of a protocol, and which tests show it."""
    page = prose(f"docs/protocols/{protocol}.md")
    (table,) = re.findall(r"^\| endpoint \|.+\n\|[-|]+\|\n((?:\|.+\n)+)", page, re.MULTILINE)
    return [row.strip("| ").split(" | ") for row in table.splitlines()]


def bare(route: str) -> str:
    """Method and path without what names may be chosen for: parameters, a query, a slash at the end."""
    path = re.sub(r"\{[^}]*\}", "{}", route.partition("?")[0])
    return path.rstrip("/") if path.count("/") > 1 else path


def test_api_has_every_problem_with_its_status() -> None:
    statuses = {slug: str(status) for status, slug, _ in problems.STATUSES.values()}
    for path in (ROOT / "api").rglob("*.py"):
        found = re.findall(r'Problem\(\s*(\w+),\s*"([a-z-]+)"', path.read_text(encoding="utf-8"))
        statuses |= {slug: status if status.isdigit() else "other" for status, slug in found}
    rows = table_rows(API)
    assert {slug: rows.get(slug, ["missing"])[0] for slug in statuses} == statuses


def test_operations_has_every_metric_and_no_other() -> None:
    ours = {metric.name for metric in Metrics()._registry.collect()}
    assert ours
    metrics = {row.removesuffix("_total") for row in table_rows(OPERATIONS) if row.startswith("recount_")}
    assert metrics == ours


def test_the_command_reference_is_up_to_date() -> None:
    assert read("docs/cli.md") == reference(), "run: python -m docs.cli_reference"


def test_pages_name_only_commands_and_options_that_there_are() -> None:
    known = {" ".join(path): help_of(path) for path in commands()}
    words = {path for path in known if path}
    for page in pages():
        text = "\n".join(
            [*words_in_code(page), *(block.text for block in blocks(page) if block.language == "sh")]
        )
        for line in re.findall(r"^(?:.*?[(;&|] *)?recount ((?:[a-z]|-h).*)$", text, re.MULTILINE):
            command = max((path for path in words if f"{line} ".startswith(f"{path} ")), key=len, default="")
            assert command, f"{page}: recount {line}"
            for option in re.findall(r"(?<!\S)--[a-z-]+", line):
                assert option in known[command], f"{page}: recount {line}"


def test_limits_are_those_of_the_code() -> None:
    messages_max = NewMessages.model_json_schema()["properties"]["messages"]["maxItems"]
    for page, numbers in {
        API: [messages_max, LIMIT_DEFAULT, LIMIT_MAX, NAME_LENGTH_MAX, DEPTH_MAX, WAITING_MAX],
        OPERATIONS: [WAITING_MAX, ATTEMPTS_MAX, BATCH_MAX],
    }.items():
        for number in numbers:
            assert re.search(rf"\b({number}|{number:,})\b", prose(page)), f"{page}: {number}"


def test_refusals_are_worded_as_in_the_code() -> None:
    refusals = prose(OPERATIONS).partition("## When it refuses")[2]
    shown = [
        cell for row in re.findall(r"^\| (`.+?) \| ", refusals, re.MULTILINE) for cell in CODE.findall(row)
    ]
    files = [path for room in ROOMS[:4] for path in (ROOT / room).rglob("*.py")]
    said = "\n".join(text for path in files for text in literals(path)).lower()
    assert len(shown) > 10
    assert [text for text in shown if text.rstrip(MORE).lower() not in said] == []


def literals(path: Path) -> list[str]:
    """The texts in a file; what is filled in shows as MORE."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else MORE for part in node.values]
            found.append("".join(map(str, parts)))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append(node.value)
    return found


# What is named must exist


@pytest.mark.parametrize("page", pages())
def test_links_lead_somewhere(page: str) -> None:
    for link in links(page):
        if link.startswith("https://"):
            continue
        target, _, anchor = link.partition("#")
        path = (ROOT / page).parent / target if target else ROOT / page
        assert path.exists(), link
        if anchor:
            assert anchor in anchors(path.resolve().relative_to(ROOT).as_posix()), link


@pytest.mark.parametrize("page", pages())
def test_named_files_exist(page: str) -> None:
    for word in words_in_code(page):
        if re.fullmatch(rf"(?:{'|'.join(ROOMS)})/[\w./-]*", word):
            assert (ROOT / word).exists(), word


@pytest.mark.parametrize("page", pages())
def test_what_is_named_in_a_file_is_there(page: str) -> None:
    named = re.findall(r"`([\w.]+)` in `([\w/]+\.(?:py|sql))`", prose(page))
    for name, file in named:
        assert name in definitions(ROOT / file), f"`{name}` in `{file}`"


FILES_NAMED = re.compile(rf"`((?:{'|'.join(ROOMS)})/[\w/.]+\.(?:py|sql))`")


def test_the_life_of_a_message_names_what_it_passes() -> None:
    passed = FILES_NAMED.findall(prose("docs/life-of-a-message.md"))
    assert {file.partition("/")[0] for file in passed} == {"api", "projections", "eventlog", "domain"}
    assert sorted(passed) == sorted(set(passed)), "no file twice"


def test_the_life_of_a_message_is_short() -> None:
    stops = re.findall(r"^(\d+)\. ", prose("docs/life-of-a-message.md"), re.MULTILINE)
    assert stops == [str(number) for number in range(1, len(stops) + 1)]
    assert len(stops) <= 14


def test_the_guide_to_an_event_counts_its_files() -> None:
    page = prose("docs/guides/add-an-event.md")
    (table,) = re.findall(r"^\| file \|.+\n\|[-|]+\|\n((?:\|.+\n)+)", page, re.MULTILINE)
    files = re.findall(r"^\| `([\w/.]+)` \|", table, re.MULTILINE)
    assert f"touches {len(files)} files" in page
    assert len(set(files)) == len(table.splitlines())
    assert all((ROOT / file).is_file() for file in files)


def definitions(path: Path) -> set[str]:
    """What a file defines: functions, classes and their members, statements, tables, indexes."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".sql":
        return {name for name, _ in NAMED.findall(text)} | set(
            re.findall(r"^CREATE (?:UNIQUE )?(?:TABLE|INDEX|VIEW) (\w+)", text, re.MULTILINE)
        )
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {
                f"{node.name}.{member.name}"
                for member in node.body
                if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef)
            }
        if isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return found


def test_named_make_tasks_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    tasks = set(re.findall(r"^([a-z][a-z-]*):(?!=)", makefile, re.MULTILINE))
    for page in pages():
        text = "\n".join([*words_in_code(page), *shell_blocks(page)])
        named = re.findall(r"^make ([a-z-]+)", text, re.MULTILINE)
        assert set(named) <= tasks, page


# How pages are made


def test_the_readme_is_short_and_begins_with_how_to_start() -> None:
    lines = read("README.md").splitlines()
    assert len(lines) <= 150
    assert next(block.text for block in blocks("README.md")) == "make run\nmake test\n"


def test_every_shown_answer_belongs_to_an_example() -> None:
    for page in pages():
        answers = [block.where for block in blocks(page) if block.language == "json"]
        shown = [example.answer.where for example in examples(page) if example.answer is not None]
        assert set(answers) <= set(shown), page


def test_glossary_words_are_in_order() -> None:
    words = re.findall(r"^\| \*\*(.+?)\*\* \|", prose(GLOSSARY), re.MULTILINE)
    assert len(words) > 30
    assert words == sorted(words, key=str.lower)


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_decision_records_keep_their_form(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith(f"# {path.name[:4]} ")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == [
        "Context",
        "Decision",
        "Consequences",
        "Alternatives",
        "What would change our mind",
        "What enforces it",
    ]
    decision = text.partition("## Decision\n")[2].lstrip().splitlines()[0]
    assert re.fullmatch(r"\*\*[^*]+\.\*\*", decision), "one sentence to quote"
    assert "price" in text.partition("## Consequences\n")[2].partition("## ")[0]
    assert len(text.splitlines()) <= 60, "one page"


def test_decision_records_are_numbered_and_listed() -> None:
    assert [path.name[:4] for path in RECORDS] == [f"{n:04}" for n in range(1, len(RECORDS) + 1)]
    for path in RECORDS:
        title = path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
        assert f"- [{title}]({path.name})" in read("docs/adr/README.md")


def test_the_changelog_tells_of_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    headings = re.findall(r"^## \[(.+?)\]", read("CHANGELOG.md"), re.MULTILINE)
    assert headings[:2] == ["Unreleased", version]
