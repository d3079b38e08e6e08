"""The project's own tools keep their promises: task list, pinned versions, shut network."""

import re
import socket
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.programs import need_program

ROOT = Path(__file__).parents[2]

# In parts, so that this file does not name them either.
REGISTRY_HOSTS = [
    ".".join(parts)
    for parts in [
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("registry", "npmjs", "org"),
        ("registry", "yarnpkg", "com"),
        ("crates", "io"),
        ("rubygems", "org"),
        ("proxy", "golang", "org"),
    ]
]


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return {canonicalize_name(name): version for name, version in (x.split("==") for x in lines)}


def declared_requirements() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    client = tomllib.loads((ROOT / "clients/python/pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values(), client["dependencies"]]
    return [Requirement(line) for group in groups for line in group]


def test_make_alone_lists_every_task() -> None:
    make = need_program("make")
    # `make test` runs this too, and an inner make would announce its directory.
    command = [str(make), "--no-print-directory"]
    listing = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    listed = {line.split()[0] for line in listing.splitlines()}

    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    tasks = set(re.findall(r"^([a-z][a-z-]*):(?!=)", makefile, flags=re.MULTILINE))

    assert {"setup", "run", "test", "check"} <= tasks
    assert listed == tasks | {"bench-NAME"}


def test_constraints_hold_names_and_versions_only() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()

    assert lines
    assert [x for x in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", x)] == []
    assert lines == sorted(lines, key=str.upper)


def test_constraints_pin_every_declared_dependency_within_its_bounds() -> None:
    pinned = pins()

    wrong = [
        str(requirement)
        for requirement in declared_requirements()
        if not requirement.specifier.contains(pinned.get(canonicalize_name(requirement.name), "0"))
    ]

    assert wrong == [], "run `make constraints`"


def test_constraints_pin_what_the_dependencies_bring_along() -> None:
    pinned = pins()
    seen: set[tuple[str, str]] = set()
    waiting = [(r, extra) for r in declared_requirements() for extra in {"", *r.extras}]
    while waiting:
        requirement, extra = waiting.pop()
        name = canonicalize_name(requirement.name)
        if (name, extra) in seen or not applies(requirement, ""):
            continue
        seen.add((name, extra))
        for line in metadata.requires(name) or []:
            inner = Requirement(line)
            if applies(inner, extra):
                inner.marker = None
                waiting += [(inner, inner_extra) for inner_extra in {"", *inner.extras}]

    assert {name for name, _ in seen} - pinned.keys() == set(), "run `make constraints`"


def applies(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def test_no_tracked_file_names_a_package_registry() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    # The checkout may belong to someone else than who runs the tests, which git distrusts.
    command = [str(need_program("git")), "-c", "safe.directory=*", "ls-files", "-z"]
    listing = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    hosts = re.compile("|".join(map(re.escape, REGISTRY_HOSTS)), re.IGNORECASE)

    naming = []
    for name in filter(None, listing.split("\0")):
        path = ROOT / name
        if path.is_file() and hosts.search(path.read_bytes().decode("utf-8", errors="ignore")):
            naming.append(name)

    assert naming == []


@pytest.mark.parametrize("address", [("192.0.2.1", 80), ("2001:db8::1", 80), ("name.invalid", 80)])
def test_the_network_is_shut(address: tuple[str, int]) -> None:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with (
        socket.socket(family) as outside,
        pytest.raises(RuntimeError, match="tried to connect"),
    ):
        outside.connect(address)


def test_loopback_stays_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()


def test_a_missing_program_skips_or_fails_when_all_are_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RECOUNT_TEST_REQUIRE_ALL", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no-such-program"):
        need_program("no-such-program")

    monkeypatch.setenv("RECOUNT_TEST_REQUIRE_ALL", "1")
    with pytest.raises(pytest.fail.Exception, match="no-such-program"):
        need_program("no-such-program")

    assert need_program("no-such-program", sys.executable) == Path(sys.executable)


def test_unit_tests_need_no_server() -> None:
    server = re.compile(
        r"^from (recountdb\.api\.(app|runtime)|psycopg|tests\.support\.(fixtures|postgres))\b", re.M
    )
    tests = sorted((ROOT / "tests" / "unit").rglob("*.py"))
    assert [path for path in tests if server.search(path.read_text(encoding="utf-8"))] == []
