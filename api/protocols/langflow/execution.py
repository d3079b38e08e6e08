"""Execution of the commands that Langflow's requests become."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Concatenate, ParamSpec

from starlette.responses import Response

from recountdb.api.protocols.base import RequestContext
from recountdb.api.protocols.langflow.commands import find_cause
from recountdb.domain.commands.base import Command
from recountdb.domain.errors import NotFound
from recountdb.eventlog.application import Recount
from recountdb.eventlog.write.ports import Outcome

P = ParamSpec("P")


async def delete_all(context: RequestContext, commands: Sequence[Command]) -> bool:
    """Execute deletions, ignoring what was deleted meanwhile; return whether there were any."""
    for command in commands:
        with suppress(NotFound):
            await context.execute(command)
    return bool(commands)


async def execute_built(
    context: RequestContext,
    build: Callable[Concatenate[Recount, str, P], Command],
    *given: P.args,
    **more: P.kwargs,
) -> Outcome:
    """Execute the command that ``build`` returns.

    Raises ExpectationFailed, AlreadyExists: see ``retry_conflicts``.
    """
    command = await context.recall(build, context.project, *given, **more)
    cause = find_cause(command)
    return await (context if cause is None else context.caused_by(cause)).execute(command)


def answer_no_content() -> Response:
    """Answer 204, with the content type that Langflow gives it."""
    return Response(status_code=204, media_type="application/json")
