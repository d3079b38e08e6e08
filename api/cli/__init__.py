"""The command line: the program around the commands, and what it leaves with when one fails."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

from api.cli.commands import app
from api.cli.failures import (
    escape_what_cannot_be_shown,
    exit_code_for,
    in_our_words,
    is_expected,
    let_go_of_stdout,
    sentence,
    tell,
)


def main(arguments: Sequence[str] | None = None) -> None:
    """The program. A failure is told in one sentence; see commands.EPILOG for the exit codes."""
    end_like_interrupted()
    escape_what_cannot_be_shown()
    try:
        try:
            app(arguments, prog_name="recount")
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # whoever read our output has read enough
        let_go_of_stdout()
        sys.exit(1)
    except Exception as failure:
        error = in_our_words(failure)
        if is_debugging() and not is_expected(error):
            raise
        tell(sentence(error))
        sys.exit(exit_code_for(error))


def end_like_interrupted() -> None:
    """Have SIGTERM and SIGHUP do what Ctrl-C does, so that what was opened is closed."""
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # under nohup it is not
        signal.signal(signal.SIGHUP, lambda number, frame: signal.raise_signal(signal.SIGTERM))


def is_debugging() -> bool:
    """RECOUNT_DEBUG, read without the settings: they may be what failed."""
    return os.environ.get("RECOUNT_DEBUG", "").lower() in ("1", "true", "yes", "on")
