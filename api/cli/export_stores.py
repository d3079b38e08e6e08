"""``recount export`` into the layouts of other stores."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from recountdb.api.cli.options import (
    Data,
    Endpoint,
    MessagesAttribute,
    Project,
    RedisUrl,
    Region,
    SessionsNamed,
)

app = typer.Typer(rich_markup_mode=None)

WriterOption = Annotated[
    Literal["python", "js"],
    typer.Option("--writer", help="The layout: that of LangChain in this language."),
]
Ttl = Annotated[
    int | None,
    typer.Option("--ttl-seconds", min=1, metavar="N", help="How long it lives there. Default: for good."),
]
Replace = Annotated[bool, typer.Option("--replace", help="Replace what is there under the same key.")]


@app.command("redis")
def export_redis(
    url: RedisUrl,
    writer: WriterOption = "python",
    prefix: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT", help="Text before the session's id. Default: message_store:, and nothing for js."
        ),
    ] = None,
    ttl_seconds: Ttl = None,
    replace: Replace = False,
    session: SessionsNamed = None,
    project: Project = "default",
    data: Data = None,
) -> None:
    """Export live sessions as Redis lists that LangChain, Flowise and n8n read."""
    from recountdb.api.cli.exports import export_sessions
    from recountdb.api.transfer.exporters.envelopes import Writer
    from recountdb.api.transfer.exporters.redis_lists import PREFIXES, RedisLists
    from recountdb.api.transfer.importers.redis_commands import redis_commands

    layout = Writer(writer)
    with redis_commands(url) as send:
        beginning = PREFIXES[layout] if prefix is None else prefix
        target = RedisLists(send, layout, beginning, ttl_seconds, replace)
        export_sessions(target, data, project, session or [])


@app.command("dynamodb")
def export_dynamodb(
    table: Annotated[str, typer.Argument(metavar="TABLE", help="The table, which must exist.")],
    writer: WriterOption = "python",
    messages_attribute: MessagesAttribute = None,
    ttl_seconds: Ttl = None,
    replace: Replace = False,
    endpoint_url: Endpoint = None,
    region: Region = None,
    session: SessionsNamed = None,
    project: Project = "default",
    data: Data = None,
) -> None:
    """Export live sessions as DynamoDB items that LangChain and Flowise read."""
    from recountdb.api.cli.exports import export_sessions
    from recountdb.api.transfer.exporters.dynamodb import opened_table
    from recountdb.api.transfer.exporters.envelopes import Writer
    from recountdb.api.transfer.importers import dynamodb

    target = opened_table(
        dynamodb.open_client(endpoint_url, region),
        table,
        Writer(writer),
        attribute=messages_attribute,
        ttl_seconds=ttl_seconds,
        replaces=replace,
    )
    export_sessions(target, data, project, session or [])
