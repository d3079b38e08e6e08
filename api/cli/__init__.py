"""The command line: the program's entry point, and how it ends when it is interrupted."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program. The commands are imported here, so that Ctrl-C meanwhile gives no traceback."""
    end_like_interrupted()
    try:
        from recountdb.api.cli.program import run_command

        run_command(arguments)
    except KeyboardInterrupt:
        _leave_interrupted()
    except SystemExit as end:
        if end.code == INTERRUPTED:  # a command was interrupted
            _leave_interrupted()
        raise


def _leave_interrupted() -> None:
    sys.stderr.write("Interrupted.\n")
    sys.exit(INTERRUPTED)


def end_like_interrupted() -> None:
    """Make SIGTERM and SIGHUP interrupt the program as Ctrl-C does, so that it closes what it opened."""
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # nohup ignores it, and so do we then
        signal.signal(signal.SIGHUP, lambda number, frame: signal.raise_signal(signal.SIGTERM))
