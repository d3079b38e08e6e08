"""``recount export``: live sessions into a file or into another store."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from recountdb.api.cli.commands.groups import FilesOrStores
from recountdb.api.cli.commands.options import (
    Data,
    Endpoint,
    MessagesAttribute,
    Project,
    RedisUrl,
    Region,
    SessionsNamed,
)

app = typer.Typer(
    cls=FilesOrStores,
    help="Export live sessions: into a file in chat format, or into the layout of another store.",
    epilog="'recount export FILE' is 'recount export chat FILE'; without FILE it writes to standard output.",
    rich_markup_mode=None,
)

WriterOption = Annotated[
    Literal["python", "js"],
    typer.Option("--writer", help="Whose layout: that of LangChain in this language."),
]
Ttl = Annotated[
    int | None,
    typer.Option("--ttl-seconds", min=1, metavar="N", help="How long it lives there; else for good."),
]
Replace = Annotated[bool, typer.Option("--replace", help="Replace what is there under the same key.")]


@app.command("chat")
def export_chat(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="Where to; gzipped if it ends in .gz; - is standard output.")
    ] = "-",
    session: SessionsNamed = None,
    project: Project = "default",
    data: Data = None,
) -> None:
    """Export live sessions in the chat format that import reads."""
    from recountdb.api.cli import transfer

    transfer.export_file(file, data=data, project=project, names=session or [])


@app.command("redis")
def export_redis(
    url: RedisUrl,
    writer: WriterOption = "python",
    prefix: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT", help="Before the session's id. Else message_store:, and nothing for js."
        ),
    ] = None,
    ttl_seconds: Ttl = None,
    replace: Replace = False,
    session: SessionsNamed = None,
    project: Project = "default",
    data: Data = None,
) -> None:
    """Export live sessions as Redis lists that LangChain, Flowise and n8n read."""
    from recountdb.api.cli import handing_back
    from recountdb.api.transfer.exporters.envelopes import Writer

    handing_back.export_redis(
        url,
        Writer(writer),
        prefix=prefix,
        ttl_seconds=ttl_seconds,
        replaces=replace,
        data=data,
        project=project,
        names=session or [],
    )


@app.command("dynamodb")
def export_dynamodb(
    table: Annotated[str, typer.Argument(metavar="TABLE", help="The table, which must be there.")],
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
    from recountdb.api.cli import handing_back
    from recountdb.api.transfer.exporters.envelopes import Writer

    handing_back.export_dynamodb(
        table,
        Writer(writer),
        endpoint=endpoint_url,
        region=region,
        attribute=messages_attribute,
        ttl_seconds=ttl_seconds,
        replaces=replace,
        data=data,
        project=project,
        names=session or [],
    )
