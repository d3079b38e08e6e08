"""The wheel keeps to its one import name, beside projects that have packages called like our folders."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path
from venv import EnvBuilder

import pytest

ROOT = Path(__file__).parents[2]

OTHER = {"api": "ours = False\n", "domain": "ours = False\n"}
"""The packages of a project that knows nothing of Recount."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built by its own build backend."""
    directory = tmp_path_factory.mktemp("wheel")
    build = "import hatchling.build, sys; print(hatchling.build.build_wheel(sys.argv[1]))"
    built = subprocess.run(
        [sys.executable, "-c", build, str(directory)], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return directory / built.stdout.split()[-1]


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of another project, with top-level packages ``api`` and ``domain``."""
    path = tmp_path_factory.mktemp("other") / "shop-1.0-py3-none-any.whl"
    files = {f"{package}/__init__.py": text for package, text in OTHER.items()} | {
        "shop-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: shop\nVersion: 1.0\n",
        "shop-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in (*files, "shop-1.0.dist-info/RECORD"))
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in (files | {"shop-1.0.dist-info/RECORD": record}).items():
            archive.writestr(name, text)
    return path


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """The Python of an empty environment."""
    EnvBuilder(with_pip=True, symlinks=True).create(tmp_path / "venv")
    return tmp_path / "venv/bin/python"


def pip(python: Path, *arguments: str) -> None:
    command = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    subprocess.run(command, check=True, capture_output=True, text=True)


def install(python: Path, *wheels: Path) -> None:
    for wheel in wheels:
        pip(python, "install", "--no-deps", "--no-index", str(wheel))


def run(python: Path, code: str, directory: Path) -> str:
    """Return what ``code`` prints, run in a directory that is no checkout."""
    command = [str(python), "-c", code]
    return subprocess.run(command, cwd=directory, check=True, capture_output=True, text=True).stdout


def test_it_holds_one_package_with_types_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0] for name in names} == {
        "recountdb",
        f"{wheel.name.split('-py3')[0]}.dist-info",
    }
    assert {"recountdb/py.typed", "recountdb/api/app.py", "recountdb/domain/events.py"} <= set(names)
    shipped = {name.removeprefix("recountdb/") for name in names}
    for pattern in ("**/*.sql", "api/sample/*"):
        for room in ("api", "domain", "eventlog", "projections"):
            for path in (ROOT / room).glob(pattern.removeprefix("api/")):
                assert path.relative_to(ROOT).as_posix() in shipped


@pytest.mark.parametrize("is_ours_first", [True, pytest.param(False, marks=pytest.mark.thorough)])
def test_neither_project_harms_the_other(
    is_ours_first: bool, wheel: Path, other: Path, python: Path, tmp_path: Path
) -> None:
    install(python, *((wheel, other) if is_ours_first else (other, wheel)))
    both = "import api, domain, recountdb.domain.errors; print(api.ours, domain.ours)"
    assert run(python, both, tmp_path) == "False False\n"

    pip(python, "uninstall", "--yes", *(["shop"] if is_ours_first else ["recountdb"]))
    if is_ours_first:
        ours = "import recountdb.domain.errors, importlib.util as u; print(u.find_spec('api'))"
        assert run(python, ours, tmp_path) == "None\n"
    else:
        theirs = "import api, domain, importlib.util as u; print(api.ours, u.find_spec('recountdb'))"
        assert run(python, theirs, tmp_path) == "False None\n"


EVERYTHING = """
import importlib, pkgutil, sys
import recountdb
from recountdb.api.runtime import all_migrations

assert recountdb.__file__.startswith(sys.argv[1]), recountdb.__file__
for module in pkgutil.walk_packages(recountdb.__path__, "recountdb."):
    importlib.import_module(module.name)
print(len(all_migrations()) > 3)
"""


def test_all_of_it_works_outside_of_a_checkout(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    ran = subprocess.run(
        [sys.executable, "-c", EVERYTHING, str(tmp_path / "site")],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
    )
    assert (ran.stdout, ran.stderr) == ("True\n", "")
