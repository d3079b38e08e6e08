"""What people who live in a terminal expect of a program: help, completion, Ctrl-C, progress."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from recountdb.api.cli import main

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "api/sample/taskmaster4-sample.jsonl.gz"
RECOUNT = str(Path(sys.executable).with_name("recount"))

on_embedded = pytest.mark.parametrize("server", ["embedded"], indirect=True)


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [RECOUNT, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | environment, timeout=60)


@pytest.mark.parametrize("command", [(), ("serve",), ("keys", "create"), ("import", "redis")], ids=str)
def test_help_is_a_command_too(command: tuple[str, ...]) -> None:
    asked = run("help", *command)
    assert asked.returncode == 0
    assert asked.stdout == run(*command, "--help").stdout
    assert asked.stdout.startswith(f"Usage: {' '.join(['recount', *command])} ")


def test_help_for_what_is_no_command() -> None:
    asked = run("help", "nothing")
    assert asked.returncode == 2
    assert "No such command 'nothing'" in asked.stderr


def test_a_shell_can_complete_what_is_typed() -> None:
    words = {"_RECOUNT_COMPLETE": "complete_bash", "COMP_WORDS": "recount key", "COMP_CWORD": "1"}
    assert run(**words).stdout.split() == ["keys"]


BEGINNING = """
import sys

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "typer":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupting())
from recountdb.api.cli import main
main(["status"])
"""


def test_ctrl_c_while_the_program_begins_is_no_traceback() -> None:
    command = [sys.executable, "-c", BEGINNING]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "Interrupted.\n")


def test_ctrl_c_in_a_command_says_so(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("recountdb.api.cli.store.locate_store", interrupt)
    monkeypatch.setattr("recountdb.api.cli.end_like_interrupted", lambda: None)
    with pytest.raises(SystemExit) as ended:
        main(["verify"])
    assert ended.value.code == 130
    assert capfd.readouterr().err == "Interrupted.\n"


@on_embedded
def test_export_shows_progress_to_somebody_who_watches(conninfo: str, tmp_path: Path) -> None:
    store = {"RECOUNT_DATABASE_URL": conninfo}
    assert run("import", str(SAMPLE), **store).returncode == 0
    watching, terminal = pty.openpty()
    command = [RECOUNT, "export", str(tmp_path / "all.jsonl")]
    with subprocess.Popen(command, stderr=terminal, env=os.environ | store) as process:
        os.close(terminal)
        assert process.wait(60) == 0
    said = os.read(watching, 1_000_000)
    os.close(watching)
    assert b"sessions" in said.split(b"300 sessions exported")[0]
    assert b"300 sessions exported to" in said
    assert run("export", str(tmp_path / "quiet.jsonl"), **store).stderr.startswith("300 sessions exported")


def test_an_error_of_the_driver_is_no_fault_of_recount(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise psycopg.OperationalError("the connection is lost")

    monkeypatch.setattr("recountdb.api.cli.store.locate_store", fail)
    with pytest.raises(SystemExit) as ended:
        main(["verify"])
    assert ended.value.code == 3
    assert "fault of Recount" not in capfd.readouterr().err
