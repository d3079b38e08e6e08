"""A follower as a process of its own: ``python -m tests.support.notetaker CONNINFO HOW DIES_AFTER``.

``HOW``: properly or naively. After so many batches it kills itself, when their rows are written and the
checkpoint is not; 0: it never does.
"""

from __future__ import annotations

import os
import signal
import sys
import time

from recountdb.eventlog.postgres.database import Connection
from tests.integration.test_followers import Notebook, naively, properly

STARTS = {"properly": properly, "naively": naively}


def main(conninfo: str, how: str, dies_after: int) -> None:
    batches = 0

    def die(connection: Connection) -> None:
        nonlocal batches
        batches += 1
        if batches == dies_after:
            os.kill(os.getpid(), signal.SIGKILL)

    leader = STARTS[how](conninfo, Notebook(after=die))
    leader.start()
    say("stands ready")
    while not leader.has_lead:
        time.sleep(0.01)
    say("leads")
    leader.join()


def say(what: str) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
