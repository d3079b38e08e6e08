"""The wheel of the Python client works in an environment without anything of the server's."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path
from venv import EnvBuilder

import pytest

from recountdb.api.settings import Settings
from tests.support.background_server import run_server

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "clients/python"

USE = """
import importlib.util, sys
from recount_client.langflow import StoredMessage, executing, message_store

assert importlib.util.find_spec("recountdb") is None
message = {"text": "Soup?", "sender": "User", "sender_name": "Ana", "session_id": "lunch"}
with message_store(sys.argv[1], make=StoredMessage) as store, executing("flow", "ana"):
    store.store_message(message)
    print(*(found.text for found in store.get_messages()))
"""


@pytest.fixture(scope="module")
def client_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the client's wheel by its own build backend."""
    directory = tmp_path_factory.mktemp("wheel")
    build = "import hatchling.build, sys; print(hatchling.build.build_wheel(sys.argv[1]))"
    built = subprocess.run(
        [sys.executable, "-c", build, str(directory)], cwd=CLIENT, check=True, capture_output=True, text=True
    )
    return directory / built.stdout.split()[-1]


def test_it_holds_one_package_with_types_and_the_licence(client_wheel: Path) -> None:
    names = set(zipfile.ZipFile(client_wheel).namelist())
    modules = {path.relative_to(CLIENT).as_posix() for path in CLIENT.glob("recount_client/*.py")}
    info = "recount_client-0.1.0.dist-info"
    about = {f"{info}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "licenses/LICENSE")}
    assert names == modules | about | {"recount_client/py.typed"}


@pytest.mark.slow  # the environment is filled from the internet
@pytest.mark.parametrize("server", ["embedded"], indirect=True)
def test_it_works_in_an_empty_environment(client_wheel: Path, conninfo: str, tmp_path: Path) -> None:
    EnvBuilder(with_pip=True, symlinks=True).create(tmp_path / "venv")
    python = str(tmp_path / "venv/bin/python")
    constraints = str(ROOT / "constraints.txt")
    quiet = ["--quiet", "--disable-pip-version-check"]
    install = [python, "-m", "pip", "install", *quiet, "-c", constraints, str(client_wheel)]
    subprocess.run(install, check=True, capture_output=True, text=True)
    with run_server(conninfo, Settings()) as address:
        used = subprocess.run(
            [python, "-W", "error", "-c", USE, address], cwd=tmp_path, capture_output=True, text=True
        )
    assert (used.stdout, used.stderr) == ("Soup?\n", "")
