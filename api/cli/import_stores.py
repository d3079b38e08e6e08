"""``recount import`` from other stores, of all that they hold: each conversation becomes a session."""

from __future__ import annotations

from typing import Annotated

import typer

from recountdb.api.cli.options import (
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

app = typer.Typer(rich_markup_mode=None)

FileOrUrl = Annotated[
    str, typer.Argument(metavar="PLACE", help="The SQLite file, or the address of PostgreSQL: postgresql://…")
]
Match = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATTERN",
        help="Keys like this, * for any text; may be repeated. Default: message_store:* and chat:*.",
    ),
]
Key = Annotated[list[str] | None, typer.Option(metavar="KEY", help="This list; may be repeated.")]
Prefix = Annotated[
    str, typer.Option(metavar="TEXT", help="The part of a key that does not belong to the session's id.")
]


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
    from recountdb.api.cli.imports import ImportOptions, import_source
    from recountdb.api.transfer.importers import langflow
    from recountdb.api.transfer.importers.tables import opened_tables

    options = ImportOptions(data, project, user_id, dry_run, as_json)
    with opened_tables(where) as tables:
        import_source(langflow.read(tables), options)


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
    from recountdb.api.cli.imports import ImportOptions, import_source
    from recountdb.api.transfer.importers import flowise
    from recountdb.api.transfer.importers.tables import opened_tables

    options = ImportOptions(data, project, user_id, dry_run, as_json)
    with opened_tables(where) as tables:
        import_source(flowise.read(tables), options)


@app.command("zep")
def import_zep(
    where: Annotated[
        str, typer.Argument(metavar="URL", help="The address of Zep's PostgreSQL: postgresql://…")
    ],
    project: Project = "default",
    user_id: UserId = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Import the sessions and users of Zep Open Source v0.x."""
    from recountdb.api.cli.imports import ImportOptions, import_source
    from recountdb.api.transfer.importers import zep
    from recountdb.api.transfer.importers.tables import opened_tables

    options = ImportOptions(data, project, user_id, dry_run, as_json)
    with opened_tables(where) as tables:
        import_source(zep.read(tables), options)


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
    holds chat messages. A list that has grown or was cut since is recognized by what its messages say.
    """
    from recountdb.api.cli.imports import ImportOptions, import_source
    from recountdb.api.transfer.importers import redis_lists
    from recountdb.api.transfer.importers.redis_commands import redis_commands

    options = ImportOptions(data, project, user_id, dry_run, as_json)
    wanted = redis_lists.Wanted(match or (), key or (), prefix)
    with redis_commands(url) as send:
        import_source(redis_lists.read(send, wanted), options)


@app.command("upstash")
def import_upstash(
    url: Annotated[
        str,
        typer.Argument(
            metavar="URL",
            envvar="UPSTASH_REDIS_REST_URL",
            show_envvar=False,
            help="The REST address, https://…. Default: UPSTASH_REDIS_REST_URL.",
        ),
    ],
    token: Annotated[
        str,
        typer.Option(
            metavar="TOKEN",
            envvar="UPSTASH_REDIS_REST_TOKEN",
            show_envvar=False,
            help="A token; a read-only one is enough. Default: UPSTASH_REDIS_REST_TOKEN.",
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
    """Import from Upstash over its REST address. The rest is as for any Redis."""
    from recountdb.api.cli.imports import ImportOptions, import_source
    from recountdb.api.transfer.importers import redis_lists
    from recountdb.api.transfer.importers.redis_commands import upstash_commands

    options = ImportOptions(data, project, user_id, dry_run, as_json)
    wanted = redis_lists.Wanted(match or (), key or (), prefix)
    with upstash_commands(url, token) as send:
        import_source(redis_lists.read(send, wanted), options)


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
    from recountdb.api.cli.imports import ImportOptions, import_source
    from recountdb.api.transfer.importers import motorhead
    from recountdb.api.transfer.importers.redis_commands import redis_commands

    with redis_commands(url) as send:
        import_source(motorhead.read(send), ImportOptions(data, project, user_id, dry_run, as_json))


@app.command("dynamodb")
def import_dynamodb(
    table: Annotated[str, typer.Argument(metavar="TABLE", help="The table's name.")],
    messages_attribute: MessagesAttribute = None,
    id_: Annotated[
        list[str] | None, typer.Option("--id", metavar="ID", help="Only this conversation; may be repeated.")
    ] = None,
    expired: Annotated[
        bool, typer.Option("--expired", help="Also take items that have expired and are not deleted yet.")
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
    from recountdb.api.cli.imports import ImportOptions, import_source
    from recountdb.api.transfer.importers import dynamodb

    options = ImportOptions(data, project, user_id, dry_run, as_json)
    wanted = dynamodb.Wanted(table, messages_attribute, id_ or (), expired)
    client = dynamodb.open_client(endpoint_url, region)
    import_source(dynamodb.read(client, wanted), options)
