"""Commands that arrive at the same moment, and are thus decided and committed together."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future

from recountdb.domain.commands.base import Command
from recountdb.domain.events import Context
from recountdb.eventlog.application import Recount
from recountdb.eventlog.write.ports import Outcome


def submit_together(
    application: Recount, requests: Iterable[tuple[Command, Context]]
) -> list[Future[Outcome]]:
    """Submit all before the writer takes the first."""
    with application._writer._queue._arrived:
        return [application.submit(command, context) for command, context in requests]
