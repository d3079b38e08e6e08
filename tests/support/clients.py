"""Real clients of the foreign protocols, each in an environment of its own, for their pins clash.

An environment is made once, in ``.clients``, under a name that has all its requirements in it; a test
runs a program in it against a server of its own, and reads what it prints.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from recountdb.eventlog.postgres.file_locks import locked

PLACE = Path(__file__).parents[2] / ".clients"
INSTALL_SECONDS_MAX = 300
RUN_SECONDS_MAX = 60


class NotInstalled(Exception):
    """The client could not be installed; the message says why."""


@dataclass(frozen=True)
class Client:
    """``command`` runs a program that it is given as its last argument; ``directory``: where."""

    command: Sequence[str]
    directory: Path
    suffix: str

    def run(self, program: str, *arguments: str, **environment: str) -> Any:
        """Run ``program``, a source text; returns what its last line of output is in JSON.

        Fails with all it printed where it fails.
        """
        name = hashlib.sha256(program.encode()).hexdigest()[:16]
        path = self.directory / f"{name}{self.suffix}"
        path.write_text(program, encoding="utf-8")
        done = subprocess.run(
            [*self.command, str(path), *arguments],
            cwd=self.directory,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS_MAX,
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return json.loads(done.stdout.splitlines()[-1])


def python_client(*requirements: str) -> Client:
    """A Python with just these packages, as ``zep-python==1.5.0``. Raises NotInstalled."""
    directory = prepared("python", requirements)
    interpreter = directory / "venv/bin/python"
    if not (directory / "ready").exists():
        with locked(PLACE / "lock"):
            if not (directory / "ready").exists():
                install([sys.executable, "-m", "venv", "--clear", str(directory / "venv")], directory)
                pip = [str(interpreter), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
                install([*pip, *requirements], directory)
                (directory / "ready").touch()
    return Client([str(interpreter)], directory, ".py")


def node_client(*packages: str) -> Client:
    """Node with just these packages, as ``@getzep/zep-js@0.10.0``. Raises NotInstalled."""
    directory = prepared("node", packages)
    if not (directory / "ready").exists():
        if shutil.which("npm") is None:
            raise NotInstalled("npm is not on this machine")
        with locked(PLACE / "lock"):
            if not (directory / "ready").exists():
                (directory / "package.json").write_text('{"private": true}', encoding="utf-8")
                quiet = ["--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error"]
                install(["npm", "install", *quiet, *packages], directory)
                (directory / "ready").touch()
    return Client(["node"], directory, ".mjs")


def prepared(kind: str, requirements: Sequence[str]) -> Path:
    """The directory of an environment, made where it is missing."""
    digest = hashlib.sha256("\n".join([sys.version, *requirements]).encode()).hexdigest()[:12]
    directory = PLACE / f"{kind}-{digest}"
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def install(command: Sequence[str], directory: Path) -> None:
    try:
        done = subprocess.run(
            command, cwd=directory, capture_output=True, text=True, timeout=INSTALL_SECONDS_MAX
        )
    except subprocess.TimeoutExpired:
        raise NotInstalled(f"{command[0]} took more than {INSTALL_SECONDS_MAX} seconds") from None
    if done.returncode != 0:
        raise NotInstalled(f"{' '.join(command[:4])} …: {done.stderr.strip()[-2000:]}")


def needed(make: Callable[..., Client], *requirements: str) -> Client:
    """A real client. Where it cannot be had the test is skipped, or fails if all are required."""
    try:
        return make(*requirements)
    except NotInstalled as error:
        if os.environ.get("RECOUNT_TEST_REQUIRE_ALL"):
            pytest.fail(f"a client is missing: {error}", pytrace=False)
        pytest.skip(f"a client is missing: {error}")
