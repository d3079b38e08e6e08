"""The program around the commands, and its exit codes when one fails."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from recountdb.api.cli.commands import app
from recountdb.api.cli.failures import (
    escape_what_cannot_be_shown,
    exit_code_for,
    is_expected,
    let_go_of_stdout,
    sentence,
    tell,
)


def run(arguments: Sequence[str] | None = None) -> None:
    """Run a command. A failure is reported in one sentence; see commands.EPILOG for the exit codes."""
    escape_what_cannot_be_shown()
    try:
        try:
            app(arguments, prog_name="recount")
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output closed the pipe
        let_go_of_stdout()
        sys.exit(1)
    except Exception as error:
        if _is_debugging() and not is_expected(error):
            raise
        tell(sentence(error))
        sys.exit(exit_code_for(error))


def _is_debugging() -> bool:
    """Return whether RECOUNT_DEBUG is on, read without the settings, which may be what failed."""
    return os.environ.get("RECOUNT_DEBUG", "").lower() in ("1", "true", "yes", "on")
