"""Every example in the README and the docs is run, and prints what the page shows."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.request import urlopen

import pytest
from psycopg.conninfo import make_conninfo

from recountdb.eventlog.postgres.database import connect
from recountdb.eventlog.postgres.statements import NAMED
from tests.support.pages import Block, Example, documents, examples, is_shown, pages, stable
from tests.support.postgres import embedded_server, migrated_template, new_database
from tests.support.programs import need_program

LONG = {"docs/operations.md", "docs/guides/back-up-and-restore.md"}
"""Pages whose examples take many seconds."""

WITH_EXAMPLES = [
    pytest.param(page, marks=pytest.mark.thorough) if page in LONG else page
    for page in pages()
    if examples(page)
]
PORT_SHOWN = "127.0.0.1:8000"
BIN = Path(sys.executable).parent
PATIENCE_SECONDS = 60


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    with embedded_server() as conninfo:
        yield conninfo


@pytest.fixture(scope="module")
def empty(postgres: str) -> Iterator[str]:
    with migrated_template(postgres) as name:
        yield name


@pytest.fixture
def docs_conninfo(postgres: str, empty: str) -> Iterator[str]:
    """A database for one page, as a newcomer would find it."""
    with new_database(postgres, template=empty) as name:
        yield make_conninfo(postgres, dbname=name)


@pytest.mark.parametrize("page", WITH_EXAMPLES)
def test_examples_print_what_the_page_shows(page: str, docs_conninfo: str, tmp_path: Path) -> None:
    wanted = list(examples(page))
    text = "".join(example.code.text for example in wanted)
    if re.search(r"^\s*curl\b", text, re.MULTILINE):
        need_program("curl")
    environment = environment_for(docs_conninfo, tmp_path)
    if PORT_SHOWN not in text:
        run_all(wanted, environment, tmp_path)
    else:
        with served(environment, tmp_path) as address:
            run_all(wanted, environment, tmp_path, address)


def environment_for(conninfo: str, home: Path) -> dict[str, str]:
    """What a person's shell would hold, with the database of this test and a home of its own."""
    kept = {name: os.environ[name] for name in ("LANG", "TMPDIR") if name in os.environ}
    return kept | {
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(home),
        "COLUMNS": "100",
        "NO_COLOR": "1",
        "TERM": "dumb",
        "PYTHONWARNINGS": "error",
        "RECOUNT_DATABASE_URL": conninfo,
    }


@contextmanager
def served(environment: Mapping[str, str], directory: Path) -> Iterator[str]:
    """A server on a free port; yields its address and port."""
    output = directory / "server.log"
    with output.open("w") as log:
        server = subprocess.Popen(
            [BIN / "recount", "serve", "--port", "0"],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield wait_for_address(output, server)
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            raise


def wait_for_address(output: Path, server: subprocess.Popen[bytes]) -> str:
    """The address that the server says it listens on, once it answers there."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        if said := re.search(r"http://(127\.0\.0\.1:\d+)$", output.read_text(), re.MULTILINE):
            with suppress(OSError), urlopen(f"http://{said[1]}/v1/ready", timeout=5):
                return said[1]
        time.sleep(0.05)
    pytest.fail(f"the server does not answer; it said: {output.read_text()}")


def run_all(
    wanted: list[Example], environment: Mapping[str, str], directory: Path, address: str = PORT_SHOWN
) -> None:
    for example in wanted:
        if is_for_make(example.code):
            continue
        printed = run(example.code, environment, directory, address)
        if example.answer is not None:
            compare(example.answer, printed.replace(address, PORT_SHOWN))


def is_for_make(block: Block) -> bool:
    """Whether it only calls make, which would run these very tests; test_docs looks at its tasks."""
    return all(line.startswith("make ") for line in block.text.splitlines() if line)


def run(block: Block, environment: Mapping[str, str], directory: Path, address: str) -> str:
    if block.language == "sql":
        return run_sql(block.text, environment["RECOUNT_DATABASE_URL"])
    text = block.text.replace(PORT_SHOWN, address)
    if block.language == "python":
        command = [sys.executable, "-c", text]
    else:
        command = [shutil.which("bash") or "/bin/sh", "-eu", "-c", text]
    done = subprocess.run(
        command,
        cwd=directory,
        env={**environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == 0, f"{block.where} failed\n{done.stdout}\n{done.stderr}"
    return done.stdout


def run_sql(text: str, conninfo: str) -> str:
    """Run a script; of named statements see that the tables have what they ask for."""
    with connect(conninfo) as connection:
        for _, statement in NAMED.findall(text):
            names = re.findall(r"%\((\w+)\)s", statement)
            connection.execute(statement, dict.fromkeys(names) if names else ("[]",))
        if not NAMED.search(text):
            connection.execute(text)
    return ""


def compare(answer: Block, printed: str) -> None:
    if answer.language == "text":
        assert stable(tidy(printed)) == stable(tidy(answer.text)), answer.where
        return
    shown, actual = documents(stable(answer.text)), documents(stable(printed))
    if not is_shown(shown, actual):
        pytest.fail(f"{answer.where} shows something else than\n{printed}", pytrace=False)


def tidy(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().splitlines())
