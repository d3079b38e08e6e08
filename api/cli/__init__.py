"""The command line: how the program begins, and how it ends when it is interrupted."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program. The commands are imported here, so that Ctrl-C during that is no traceback."""
    end_like_interrupted()
    try:
        from recountdb.api.cli.program import run

        run(arguments)
    except KeyboardInterrupt:
        _leave_interrupted()
    except SystemExit as end:
        if end.code == INTERRUPTED:  # of a command that was
            _leave_interrupted()
        raise


def _leave_interrupted() -> None:
    sys.stderr.write("Interrupted.\n")
    sys.exit(INTERRUPTED)


def end_like_interrupted() -> None:
    """Have SIGTERM and SIGHUP do what Ctrl-C does, so that what was opened is closed."""
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # under nohup it is not
        signal.signal(signal.SIGHUP, lambda number, frame: signal.raise_signal(signal.SIGTERM))
