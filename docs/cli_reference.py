"""Writes docs/cli.md from the help texts of the command line: ``python -m docs.cli_reference``.

A test compares the page with what this would write.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from typer.testing import CliRunner

from recountdb.api.cli.program import app

PAGE = Path(__file__).with_name("cli.md")
COLUMNS = 80

HEAD = """\
# The command line

Made from the help texts by `python -m docs.cli_reference`; change those, not this page.

"""


def reference() -> str:
    """The whole page."""
    return HEAD + "\n".join(section(command) for command in commands())


def commands(path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The command at ``path`` and all below it, in the order its help lists them."""
    below = [commands((*path, name)) for name in names_in(help_of(path))]
    return [path, *(command for group in below for command in group)]


def names_in(text: str) -> list[str]:
    """The commands that a help text lists."""
    _, _, after = text.partition("\nCommands:\n")
    return re.findall(r"^  ([a-z-]+)", after.partition("\n\n")[0], re.MULTILINE)


def section(path: tuple[str, ...]) -> str:
    name = " ".join(["recount", *path])
    return f"{'#' * (2 if len(path) < 2 else 3)} {name}\n\n```text\n{help_of(path)}\n```\n"


@cache
def help_of(path: tuple[str, ...]) -> str:
    shown = CliRunner().invoke(app, [*path, "--help"], prog_name="recount", terminal_width=COLUMNS)
    assert shown.exit_code == 0, shown.output
    return "\n".join(line.rstrip() for line in shown.output.strip("\n").splitlines())


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")
