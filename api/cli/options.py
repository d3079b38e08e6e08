"""The options and arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

Data = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        show_default=False,
        help="Directory of the embedded PostgreSQL, whatever the environment names.",
    ),
]
Project = Annotated[str, typer.Option(metavar="NAME", help="The project, which is the tenant.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON lines, for scripts.")]
Limit = Annotated[int | None, typer.Option(min=1, metavar="N", help="How many to show at most. Default: 50.")]
Order = Annotated[Literal["oldest", "newest"], typer.Option(help="Which end to begin with.")]
SessionName = Annotated[str, typer.Argument(metavar="SESSION", help="The session's id.")]
Scope = Annotated[
    str, typer.Option(metavar="FLOW", help="The flow that a foreign protocol filed the session under.")
]
SessionOption = Annotated[str | None, typer.Option(metavar="ID", help="This session.")]
ThreadOption = Annotated[str | None, typer.Option(metavar="ID", help="This thread.")]
UserOption = Annotated[str | None, typer.Option(metavar="ID", help="This user.")]
Workers = Annotated[int, typer.Option(min=1, max=64, metavar="N", help="Processes that fold the log.")]
UserId = Annotated[str | None, typer.Option(metavar="USER", help="The owner of sessions that name no user.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only report what would be done.")]
SessionsNamed = Annotated[
    list[str] | None, typer.Option(metavar="SESSION", help="Only this session; may be repeated.")
]
RedisUrl = Annotated[
    str,
    typer.Argument(
        metavar="URL",
        envvar="REDIS_URL",
        show_envvar=False,
        help="redis://, rediss:// or unix://. Default: REDIS_URL, which keeps a password out of sight.",
    ),
]
Endpoint = Annotated[
    str | None, typer.Option(metavar="URL", help="Address of DynamoDB, if it is not the region's.")
]
Region = Annotated[
    str | None, typer.Option(metavar="NAME", help="The AWS region. Default: as the AWS tools find it.")
]
MessagesAttribute = Annotated[
    str | None, typer.Option(metavar="NAME", help="The attribute that holds the messages.")
]
