"""``recount import``: conversations from a file or from another store."""

from __future__ import annotations

from typing import Annotated

import typer

from recountdb.api.cli.commands.groups import FilesOrStores
from recountdb.api.cli.commands.options import (
    AsJson,
    Data,
    DryRun,
    Endpoint,
    MessagesAttribute,
    Project,
    RedisUrl,
    Region,
    UserId,
)

app = typer.Typer(
    cls=FilesOrStores,
    help="Import conversations: from a file in chat format, or from what already holds them.",
    epilog="'recount import FILE' is 'recount import chat FILE'; a file that is named like a store: ./redis.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

FileOrUrl = Annotated[
    str, typer.Argument(metavar="PLACE", help="The SQLite file, or where PostgreSQL is: postgresql://…")
]
Match = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATTERN",
        help="Keys like this, * for any text; may be repeated. Else message_store:* and chat:*.",
    ),
]
Key = Annotated[list[str] | None, typer.Option(metavar="KEY", help="This list; may be repeated.")]
Prefix = Annotated[str, typer.Option(metavar="TEXT", help="What of a key is no part of the session's id.")]


@app.command("chat")
def import_chat(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="JSON lines, also gzipped; - is standard input.")
    ],
    project: Project = "default",
    user_id: UserId = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Import conversations in chat format, each as a session.

    One JSON object a line: {"id", "metadata", "messages": [{"role", "content", …}]}. What is there already is
    passed over, so a file may be imported again when it has grown, or when the import was interrupted. Lines
    that cannot be taken are skipped and told by number; then the exit code is 1.
    """
    from recountdb.api.cli import transfer

    transfer.import_file(
        file, data=data, project=project, user_id=user_id, is_rehearsal=dry_run, as_json=as_json
    )


@app.command("langflow")
def import_langflow(
    where: FileOrUrl,
    project: Project = "default",
    user_id: UserId = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Import Langflow's messages: langflow.db or its PostgreSQL. A flow is its sessions' scope."""
    from recountdb.api.cli import stores

    into = stores.Into(data, project, user_id, dry_run, as_json)
    stores.import_database("langflow", where, into)


@app.command("flowise")
def import_flowise(
    where: FileOrUrl,
    project: Project = "default",
    user_id: UserId = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Import Flowise's messages: database.sqlite or its PostgreSQL. A chatflow is its sessions' scope."""
    from recountdb.api.cli import stores

    into = stores.Into(data, project, user_id, dry_run, as_json)
    stores.import_database("flowise", where, into)


@app.command("zep")
def import_zep(
    where: Annotated[str, typer.Argument(metavar="URL", help="Where Zep's PostgreSQL is: postgresql://…")],
    project: Project = "default",
    user_id: UserId = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Import the sessions and users of Zep Open Source v0.x."""
    from recountdb.api.cli import stores

    into = stores.Into(data, project, user_id, dry_run, as_json)
    stores.import_database("zep", where, into)


@app.command("redis")
def import_redis(
    url: RedisUrl,
    match: Match = None,
    key: Key = None,
    prefix: Prefix = "message_store:",
    project: Project = "default",
    user_id: UserId = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Import the Redis lists of LangChain, Flowise and n8n, and the documents of langchain-redis.

    Keys of LangChain JS, Flowise and n8n have no prefix, so name them: --match '*' takes every list that
    holds chat messages. One that has grown or was cut since is known again by what its messages say.
    """
    from recountdb.api.cli import stores
    from recountdb.api.transfer.importers.redis_lists import Wanted

    into = stores.Into(data, project, user_id, dry_run, as_json)
    stores.import_redis(url, Wanted(match or (), key or (), prefix), into)


@app.command("upstash")
def import_upstash(
    url: Annotated[
        str,
        typer.Argument(
            metavar="URL",
            envvar="UPSTASH_REDIS_REST_URL",
            show_envvar=False,
            help="The REST address, https://…. Else UPSTASH_REDIS_REST_URL.",
        ),
    ],
    token: Annotated[
        str,
        typer.Option(
            metavar="TOKEN",
            envvar="UPSTASH_REDIS_REST_TOKEN",
            show_envvar=False,
            help="A token, a read-only one will do. Else UPSTASH_REDIS_REST_TOKEN.",
        ),
    ],
    match: Match = None,
    key: Key = None,
    prefix: Prefix = "message_store:",
    project: Project = "default",
    user_id: UserId = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Import from Upstash over its REST address. Otherwise as from any Redis."""
    from recountdb.api.cli import stores
    from recountdb.api.transfer.importers.redis_lists import Wanted

    into = stores.Into(data, project, user_id, dry_run, as_json)
    stores.import_upstash(url, token, Wanted(match or (), key or (), prefix), into)


@app.command("motorhead")
def import_motorhead(
    url: RedisUrl,
    project: Project = "default",
    user_id: UserId = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Import the sessions in Motorhead's Redis, each with its summary."""
    from recountdb.api.cli import stores

    stores.import_motorhead(url, stores.Into(data, project, user_id, dry_run, as_json))


@app.command("dynamodb")
def import_dynamodb(
    table: Annotated[str, typer.Argument(metavar="TABLE", help="The table's name.")],
    messages_attribute: MessagesAttribute = None,
    id_: Annotated[
        list[str] | None, typer.Option("--id", metavar="ID", help="Only this conversation; may be repeated.")
    ] = None,
    expired: Annotated[
        bool, typer.Option("--expired", help="Also what has expired and was not deleted yet.")
    ] = False,
    endpoint_url: Endpoint = None,
    region: Region = None,
    project: Project = "default",
    user_id: UserId = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Import the DynamoDB tables of LangChain, in Python and JavaScript, and Flowise.

    Credentials are found as the AWS tools find them. The whole table is read, which takes read capacity.
    """
    from recountdb.api.cli import stores
    from recountdb.api.transfer.importers.dynamodb import Wanted

    into = stores.Into(data, project, user_id, dry_run, as_json)
    wanted = Wanted(table, messages_attribute, id_ or (), expired)
    stores.import_dynamodb(endpoint_url, region, wanted, into)
