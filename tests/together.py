"""Commands that arrive at the same moment, and are thus decided and committed together."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future

from domain.commands import Command
from domain.events import Context
from eventlog.application import Recount
from eventlog.changes import Outcome


def submit_together(
    application: Recount, requests: Iterable[tuple[Command, Context]]
) -> list[Future[Outcome]]:
    """Submit all before the writer takes the first."""
    with application._writer._arrived:
        return [application.submit(command, context) for command, context in requests]
